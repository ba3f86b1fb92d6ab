#pragma once

namespace perdure {

// Gives memory that was freed back to the operating system, as far as the allocator can: it keeps
// most of it otherwise, and the process stays as large as it was once. Takes milliseconds for
// hundreds of megabytes. Any thread.
void release_free_memory() noexcept;

}  // namespace perdure
