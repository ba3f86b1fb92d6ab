#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace perdure {

// XXH3, 64 bits. Guards against accidents (torn and stale writes, flipped bits), not against an
// attacker. The value is part of the on-disk formats. Any thread.
[[nodiscard]] std::uint64_t checksum(std::span<const std::byte> data,
                                     std::uint64_t seed = 0) noexcept;

}  // namespace perdure
