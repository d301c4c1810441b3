// SPDX-License-Identifier: MIT
//
// How things fail: a Status with a sentence for a person. Files, people and firmware cause errors, which travel as
// values; only a bug of ours panics. No exceptions anywhere.
#pragma once

#include "base/text.h"

#include <new>
#include <utility>

namespace llmk {

enum class [[nodiscard]] Status : uint8_t{
    ok,
    invalid_argument, ///< what a person typed or a caller passed
    not_found,
    bad_format,  ///< a file's content
    unsupported, ///< well-formed, but nothing here can do it
    out_of_memory,
    io_error,
    read_only,
    cancelled, ///< by a key
    tripped,   ///< by the sentinel
};

/// The name of a status as the log shows it.
constexpr std::string_view status_name(Status status)
{
    constexpr std::string_view kNames[] = {"ok",          "invalid argument", "not found", "bad format",
                                           "unsupported", "out of memory",    "I/O error", "read-only",
                                           "cancelled",   "tripped"};
    return kNames[static_cast<size_t>(status)];
}

/// A failure: what, where and what to do, in one sentence without a newline.
struct [[nodiscard]] Error {
    Status status = Status::ok;
    Text<320> message;
};

/// `return fail(Status::bad_format, "{}: n_heads is {}, expected 1 or more", path, n);`
template <class... Args> Error fail(Status status, std::string_view pattern, const Args&... args)
{
    Error error;
    error.status = status;
    format(error.message, pattern, args...);
    return error;
}

/// A value or an Error.
template <class T> class [[nodiscard]] Result {
public:
    Result(T value) : m_ok(true) { new (&m_value) T(std::move(value)); }
    Result(Error error) : m_ok(false) { new (&m_error) Error(error); }
    Result(Result&& other) noexcept : m_ok(other.m_ok)
    {
        if (m_ok) {
            new (&m_value) T(std::move(other.m_value));
        } else {
            new (&m_error) Error(other.m_error);
        }
    }
    Result(const Result&) = delete;
    Result& operator=(const Result&) = delete;
    Result& operator=(Result&&) = delete;
    ~Result()
    {
        if (m_ok) {
            m_value.~T();
        }
    }

    bool ok() const { return m_ok; }
    /// Only when ok().
    T& value() { return m_value; }
    T take() { return std::move(m_value); }
    /// Only when not ok().
    const Error& error() const { return m_error; }

private:
    bool m_ok;
    union {
        T m_value;
        Error m_error;
    };
};

template <> class [[nodiscard]] Result<void> {
public:
    Result() : m_ok(true) {}
    Result(Error error) : m_ok(false), m_error(error) {}
    bool ok() const { return m_ok; }
    void take() const {}
    const Error& error() const { return m_error; }

private:
    bool m_ok;
    Error m_error;
};

/// What a function that returns Result<void> returns when all went well.
inline Result<void> success() { return {}; }

/// Takes the value of a Result, or returns its error from this function (GNU statement expression).
#define TRY(expression)                                                                                                \
    ({                                                                                                                 \
        auto llmk_try_result = (expression);                                                                           \
        if (!llmk_try_result.ok()) {                                                                                   \
            return llmk_try_result.error();                                                                            \
        }                                                                                                              \
        llmk_try_result.take();                                                                                        \
    })

/// A bug of ours: says where, and stops. Each platform's runtime defines it.
[[noreturn]] void panic(const char* what, const char* file, int line);

/// Checks what only a bug can break; always on.
#define LLMK_ASSERT(condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            ::llmk::panic(#condition, __FILE__, __LINE__);                                                             \
        }                                                                                                              \
    } while (false)

} // namespace llmk
