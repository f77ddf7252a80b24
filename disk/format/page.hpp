// SPDX-License-Identifier: LGPL-2.1-or-later
// A journal page: 4096 bytes of records in a node's ring, written only by that node. A page that does not carry the
// expected node, incarnation and number is not written yet or overwritten already: `stale`, and the reader starts
// again from the slot.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/limits.hpp"
#include "disk/base/result.hpp"
#include "disk/format/record.hpp"

namespace sdlm::disk {

struct PageHeader {
    NodeIndex node = no_node;
    Incarnation incarnation;
    std::uint64_t number = 0;          // place in the stream of pages; place in the ring: number % ring_pages
    friend bool operator==(const PageHeader&, const PageHeader&) = default;
};

inline constexpr std::size_t page_header_bytes = 96;
inline constexpr std::size_t page_capacity = limits::page_bytes - page_header_bytes;

// `records` may lie in `out` at page_header_bytes already.
void encode_page(const PageHeader& header, std::uint32_t record_count, std::span<const std::byte> records,
                 const Uuid& volume, std::uint64_t offset, std::span<std::byte> out);

// Checks that the page is the expected one and appends its records to `out` (unchanged on an error). `stale` when
// node, incarnation or number differ. A place never written in this volume gives bad_magic, wrong_volume or
// bad_checksum (torn): for a reader of a living node they mean the same as `stale`.
Result<void> decode_page(std::span<const std::byte> page, const Uuid& volume, const PageHeader& expected,
                         std::uint64_t offset, std::vector<Record>& out);
// For `sdlm dump`: whatever page lies here, with its header.
Result<PageHeader> decode_any_page(std::span<const std::byte> page, const Uuid& volume, std::uint64_t offset,
                                   std::vector<Record>& out);

// The node card: first page of an area, written once per claim. For people; the protocol does not depend on it.
struct NodeCard {
    NodeIndex node = no_node;
    Incarnation incarnation;
    Uuid host;
    std::string node_name;             // at most limits::node_name_bytes
    std::string host_name;             // at most limits::node_name_bytes
    std::string version;               // of the daemon, at most 32 bytes
    std::uint32_t pid = 0;
    std::uint64_t started_unix = 0;    // seconds since 1970
    friend bool operator==(const NodeCard&, const NodeCard&) = default;
};
void encode_card(const NodeCard& card, const Uuid& volume, std::uint64_t offset, std::span<std::byte> out);
Result<NodeCard> decode_card(std::span<const std::byte> page, const Uuid& volume, NodeIndex node, std::uint64_t offset);

}  // namespace sdlm::disk
