#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace perdure::front {

// A blocking socket to 127.0.0.1 for tests, which sees the bytes as they are. Every read gives up
// after five seconds.
class TestClient {
 public:
  struct Response {
    int status = 0;
    std::string head;
    std::string body;
  };

  explicit TestClient(std::uint16_t port, int receive_buffer_bytes = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer_bytes > 0) {
      setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                 sizeof receive_buffer_bytes);
    }
    const timeval timeout{5, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("connect failed");
    }
  }
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  [[nodiscard]] int descriptor() const { return socket_; }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  void reset() {
    const struct linger abort { 1, 0 };
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close();
  }

  void shutdown() { ::shutdown(socket_, SHUT_WR); }

  // False when the server has closed the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  // Reads until there are `count` bytes, or the connection ends.
  std::string read(std::size_t count) {
    while (buffer_.size() < count && fill()) {
    }
    return take(count);
  }

  // Up to and with `mark`, or what there is when the connection ends.
  std::string read_until(std::string_view mark) {
    std::size_t at = 0;
    while ((at = buffer_.find(mark)) == std::string::npos) {
      if (!fill()) return take(buffer_.size());
    }
    return take(at + mark.size());
  }

  std::string read_to_end() {
    while (fill()) {
    }
    return take(buffer_.size());
  }

  // Whether the connection ended: in order (a reset also counts when `reset` is set).
  bool ended(bool reset = false) {
    while (fill()) {
    }
    return at_end_ || (reset && was_reset_);
  }

  bool was_reset() {
    while (fill()) {
    }
    return was_reset_;
  }

  // Whether something arrives within the time.
  bool has_input(std::chrono::milliseconds wait) {
    if (!buffer_.empty()) return true;
    const timeval timeout{wait.count() / 1000, wait.count() % 1000 * 1000};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    fill();
    const timeval standard{5, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &standard, sizeof standard);
    return !buffer_.empty();
  }

  // One response with a content-length or chunks (whose data is joined), or without a body.
  Response read_response(bool has_body = true) {
    Response response;
    response.head = read_until("\r\n\r\n");
    if (response.head.size() > 12) response.status = std::atoi(response.head.c_str() + 9);
    if (!has_body) return response;
    const std::string_view length_name = "content-length: ";
    if (const auto at = response.head.find(length_name); at != std::string::npos) {
      response.body =
          read(std::strtoull(response.head.c_str() + at + length_name.size(), nullptr, 10));
    } else if (response.head.find("transfer-encoding: chunked") != std::string::npos) {
      for (;;) {
        const auto size = std::strtoull(read_until("\r\n").c_str(), nullptr, 16);
        response.body += read(size);
        read(2);
        if (size == 0) break;
      }
    }
    return response;
  }

 private:
  bool fill() {
    if (socket_ < 0 || at_end_ || was_reset_) return false;
    char piece[16384];
    const auto count = ::recv(socket_, piece, sizeof piece, 0);
    if (count > 0) {
      buffer_.append(piece, static_cast<std::size_t>(count));
      return true;
    }
    at_end_ = count == 0;
    was_reset_ = count < 0 && errno == ECONNRESET;
    return false;
  }

  std::string take(std::size_t count) {
    auto taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }

  int socket_;
  std::string buffer_;
  bool at_end_ = false;
  bool was_reset_ = false;
};

}  // namespace perdure::front
