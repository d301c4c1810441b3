// SPDX-License-Identifier: MIT
//
// What libstdc++'s headers call where they would throw: there a check of ours is missing, which is a bug. No header of
// the library is included, and so none of ours: from GCC 13 on, freestanding headers define the same names inline.
namespace llmk {

/// As in base/status.h.
[[noreturn]] void panic(const char* what, const char* file, int line);

} // namespace llmk

namespace std {

[[noreturn]] void __throw_out_of_range_fmt(const char* format, ...);
[[noreturn]] void __throw_out_of_range(const char* what);
[[noreturn]] void __throw_length_error(const char* what);
[[noreturn]] void __throw_logic_error(const char* what);
[[noreturn]] void __throw_invalid_argument(const char* what);
[[noreturn]] void __throw_bad_function_call();
[[noreturn]] void __throw_bad_array_new_length();
[[noreturn]] void __throw_bad_alloc();

void __throw_out_of_range_fmt(const char* format, ...) { llmk::panic(format, __FILE__, __LINE__); }
void __throw_out_of_range(const char* what) { llmk::panic(what, __FILE__, __LINE__); }
void __throw_length_error(const char* what) { llmk::panic(what, __FILE__, __LINE__); }
void __throw_logic_error(const char* what) { llmk::panic(what, __FILE__, __LINE__); }
void __throw_invalid_argument(const char* what) { llmk::panic(what, __FILE__, __LINE__); }
void __throw_bad_function_call() { llmk::panic("bad_function_call", __FILE__, __LINE__); }
void __throw_bad_array_new_length() { llmk::panic("bad_array_new_length", __FILE__, __LINE__); }
void __throw_bad_alloc() { llmk::panic("bad_alloc", __FILE__, __LINE__); }

} // namespace std
