// SPDX-License-Identifier: MIT
//
// A growable array over whole pages, for tables whose length a file decides (tensors, vocabulary). Growth can fail and
// says so. Only for the time of loading and for menus: the way of a token allocates nothing.
#pragma once

#include "base/checked.h"
#include "llmk/platform.h"

#include <type_traits>
#include <utility>

namespace llmk {

template <class T> class Vec {
    static_assert(std::is_trivially_copyable_v<T>, "elements are moved as bytes");

public:
    explicit Vec(Platform& platform) : m_platform(&platform) {}
    Vec(Vec&& other) noexcept
        : m_platform(other.m_platform), m_data(other.m_data), m_size(other.m_size), m_capacity(other.m_capacity),
          m_bytes(other.m_bytes)
    {
        other.m_data = nullptr;
        other.m_size = other.m_capacity = 0;
        other.m_bytes = 0;
    }
    Vec& operator=(Vec&& other) noexcept
    {
        std::swap(m_platform, other.m_platform);
        std::swap(m_data, other.m_data);
        std::swap(m_size, other.m_size);
        std::swap(m_capacity, other.m_capacity);
        std::swap(m_bytes, other.m_bytes);
        return *this;
    }
    Vec(const Vec&) = delete;
    Vec& operator=(const Vec&) = delete;
    ~Vec() { reset(); }

    /// Room for `count` elements in all; what is there stays.
    Result<void> reserve(uint64_t count)
    {
        if (count <= m_capacity) {
            return success();
        }
        const CheckedSize wanted = CheckedSize(count) * sizeof(T) + (kPage - 1);
        if (!wanted.valid()) {
            return fail(Status::out_of_memory, "a table of {} entries is larger than the address space", count);
        }
        const uint64_t bytes = wanted.value() & ~(kPage - 1);
        T* fresh = static_cast<T*>(TRY(m_platform->pages_alloc(bytes)));
        if (m_size > 0) {
            __builtin_memcpy(static_cast<void*>(fresh), m_data, m_size * sizeof(T));
        }
        const size_t size = m_size;
        reset();
        m_data = fresh;
        m_size = size;
        m_capacity = bytes / sizeof(T);
        m_bytes = bytes;
        return success();
    }
    Result<void> push(const T& value)
    {
        if (m_size == m_capacity) {
            TRY(reserve(m_capacity == 0 ? 16 : m_capacity * 2));
        }
        new (m_data + m_size) T(value);
        ++m_size;
        return success();
    }
    /// Makes it `count` long; new elements are zero bytes.
    Result<void> resize(uint64_t count)
    {
        TRY(reserve(count));
        if (count > m_size) {
            __builtin_memset(static_cast<void*>(m_data + m_size), 0, (count - m_size) * sizeof(T));
        }
        m_size = count;
        return success();
    }
    void clear() { m_size = 0; }
    /// Gives the pages back.
    void reset()
    {
        if (m_data != nullptr) {
            m_platform->pages_free(m_data, m_bytes);
        }
        m_data = nullptr;
        m_size = m_capacity = 0;
        m_bytes = 0;
    }

    T* data() { return m_data; }
    const T* data() const { return m_data; }
    size_t size() const { return m_size; }
    size_t capacity() const { return m_capacity; }
    bool empty() const { return m_size == 0; }
    T& operator[](size_t i) { return m_data[i]; }
    const T& operator[](size_t i) const { return m_data[i]; }
    T* begin() { return m_data; }
    T* end() { return m_data + m_size; }
    const T* begin() const { return m_data; }
    const T* end() const { return m_data + m_size; }
    std::span<T> span() { return {m_data, m_size}; }
    std::span<const T> span() const { return {m_data, m_size}; }

private:
    static constexpr uint64_t kPage = 4096;
    Platform* m_platform;
    T* m_data = nullptr;
    size_t m_size = 0;
    size_t m_capacity = 0; ///< elements
    uint64_t m_bytes = 0;  ///< of the pages
};

} // namespace llmk
