// SPDX-License-Identifier: LGPL-2.1-or-later
// A value or an Error: the part of std::expected<T, Error> that C++20 lets us have.
// A wrong access traps in every build type.
#pragma once
#include <type_traits>
#include <utility>
#include <variant>

#include "disk/base/errc.hpp"

namespace sdlm {

template <class T>
class [[nodiscard]] Result {
    static_assert(!std::is_reference_v<T> && !std::is_same_v<std::remove_cv_t<T>, Error>);

public:
    using value_type = T;
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, error) {}
    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    T& value() & { return check(), *std::get_if<0>(&state_); }
    const T& value() const& { return check(), *std::get_if<0>(&state_); }
    T&& value() && { return check(), std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    const Error& error() const {
        if (state_.index() != 1) __builtin_trap();
        return *std::get_if<1>(&state_);
    }

private:
    void check() const {
        if (!has_value()) __builtin_trap();
    }
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    using value_type = void;
    Result() = default;
    Result(Error error) : error_(error), ok_(false) {}
    bool has_value() const noexcept { return ok_; }
    explicit operator bool() const noexcept { return ok_; }
    void value() const {
        if (!ok_) __builtin_trap();
    }
    const Error& error() const {
        if (ok_) __builtin_trap();
        return error_;
    }

private:
    Error error_{};
    bool ok_ = true;
};

}  // namespace sdlm

// Early return: `SDLM_TRY(slot, read_slot(n));` declares `slot` or returns the error.
#define SDLM_CONCAT_(a, b) a##b
#define SDLM_CONCAT(a, b) SDLM_CONCAT_(a, b)
#define SDLM_TRY_(tmp, var, expr) \
    auto tmp = (expr);            \
    if (!tmp) return tmp.error(); \
    auto var = std::move(*tmp)
#define SDLM_TRY(var, expr) SDLM_TRY_(SDLM_CONCAT(sdlm_try_, __LINE__), var, expr)
