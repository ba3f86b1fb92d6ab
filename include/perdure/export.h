#pragma once

// Marks what programs may use. Everything else of the library, SQLite among it, has no names that a
// linker could see: a program may have a SQLite of its own beside it.
#if defined(__GNUC__)
#define PERDURE_API __attribute__((visibility("default")))
#else
#define PERDURE_API
#endif
