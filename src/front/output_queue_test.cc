#include "front/output_queue.h"

#include <array>
#include <cerrno>
#include <random>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace perdure::front {
namespace {

class OutputQueueTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets_.data()), 0);
  }
  void TearDown() override {
    for (const int socket : sockets_) ::close(socket);
  }

  std::string receive() {
    std::string all;
    std::array<char, 4096> piece;
    for (;;) {
      const auto count = ::recv(sockets_[1], piece.data(), piece.size(), 0);
      if (count <= 0) return all;
      all.append(piece.data(), static_cast<std::size_t>(count));
    }
  }

  std::array<int, 2> sockets_{-1, -1};
  OutputQueue queue_;
};

TEST_F(OutputQueueTest, SmallPiecesGoInOneCall) {
  queue_.append(std::string_view("a"));
  queue_.append(std::string("b"));
  EXPECT_EQ(queue_.size(), 2u);
  EXPECT_EQ(queue_.send_to(sockets_[0]), OutputQueue::Result::kDone);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(receive(), "ab");
  queue_.append(std::string_view("c"));
  EXPECT_EQ(queue_.send_to(sockets_[0]), OutputQueue::Result::kDone);
  EXPECT_EQ(receive(), "c");
}

TEST_F(OutputQueueTest, KeepsTheOrderWhateverTheSizes) {
  std::mt19937 random(3);
  std::string expected;
  std::string received;
  for (int i = 0; i < 2'000; ++i) {
    const std::size_t sizes[] = {0, 1, 300, 5'000, 16 << 10, 70'000};
    std::string piece(sizes[random() % 6], static_cast<char>('a' + i % 26));
    expected += piece;
    if (random() % 2 == 0) {
      queue_.append(std::string_view(piece));
    } else {
      queue_.append(std::move(piece));
    }
    ASSERT_EQ(queue_.size() + received.size() <= expected.size(), true);
    if (random() % 3 != 0) continue;
    ASSERT_NE(queue_.send_to(sockets_[0]), OutputQueue::Result::kFailed);
    if (random() % 2 == 0) received += receive();
  }
  while (queue_.send_to(sockets_[0]) == OutputQueue::Result::kBlocked) received += receive();
  received += receive();
  EXPECT_TRUE(received == expected);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(OutputQueueTest, ReportsAClosedPeerWithoutASignal) {
  ::close(std::exchange(sockets_[1], -1));
  queue_.append(std::string_view("a"));
  EXPECT_EQ(queue_.send_to(sockets_[0]), OutputQueue::Result::kFailed);
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace perdure::front
