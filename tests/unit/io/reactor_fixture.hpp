// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "disk/io/reactor.hpp"

namespace sdlm::disk {

class ReactorTest : public testing::Test {
protected:
    void create(const ReactorOptions& options) {
        std::string message;
        auto created = Reactor::create(options, message);
        ASSERT_TRUE(created) << message;
        reactor_ = std::move(*created);
    }

    // Rounds until `done`; a test that hangs fails after a generous bound.
    void run_until(const std::function<bool()>& done) {
        const Instant bound = boottime_now() + milliseconds(20'000);
        bool in_time = true;
        reactor_->set_round_end([&] {
            in_time = boottime_now() < bound;
            if (!in_time || done()) reactor_->stop();
            return bound;
        });
        reactor_->run();
        reactor_->set_round_end(nullptr);
        EXPECT_TRUE(in_time) << "the condition did not come";
    }

    // Exactly `count` further rounds.
    void run_rounds(int count) {
        reactor_->set_round_end([&] {
            if (--count <= 0) reactor_->stop();
            return Instant{};
        });
        reactor_->run();
        reactor_->set_round_end(nullptr);
    }

    std::unique_ptr<Reactor> reactor_;
};

}  // namespace sdlm::disk
