#pragma once

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "base/simulated_file_system.h"
#include "native/engine_state.h"
#include "perdure/perdure.h"
#include "store/store_testing.h"

namespace perdure::native::testing {

using store::testing::message_of;

// An engine on a simulated disk, with a namespace of each kind.
class NativeTest : public ::testing::Test {
 protected:
  NativeTest() { open(); }

  void open() {
    auto options = store::testing::simulated_options(disk_);
    options.history.now_ms = [this] { return now_ms_; };
    state_ = EngineState::open(std::move(options),
                               [this](const std::string& message) { failure_ = message; });
    engine_.emplace(EngineState::engine(state_));
    sqlite_.emplace(engine_->open_namespace("app-Counter"));
    keyed_.emplace(engine_->open_namespace("app-Keyed", StorageKind::kKeyValue));
  }

  void let_go() {
    sqlite_.reset();
    keyed_.reset();
    engine_.reset();
    state_.reset();
  }

  // Of what was not durable, nothing is kept.
  void crash() {
    disk_.crash(1, 0);
    let_go();
    open();
  }

  Storage create(const std::string& name) {
    return sqlite_->open(name, Namespace::OpenMode::kCreateIfMissing);
  }
  Storage create_keyed(const std::string& name) {
    return keyed_->open(name, Namespace::OpenMode::kCreateIfMissing);
  }

  SimulatedFileSystem disk_;
  std::int64_t now_ms_ = 1'800'000'000'000;
  std::string failure_;
  std::shared_ptr<EngineState> state_;
  std::optional<Engine> engine_;
  std::optional<Namespace> sqlite_;
  std::optional<Namespace> keyed_;
};

}  // namespace perdure::native::testing
