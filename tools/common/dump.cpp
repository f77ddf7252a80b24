// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/dump.hpp"

#include "tools/common/dump_json.hpp"
#include "tools/common/dump_text.hpp"
#include "tools/common/dump_volume.hpp"
#include "tools/common/escape.hpp"

namespace sdlm::tools {

namespace {

struct SlotRange {
    NodeIndex first = 0;
    NodeIndex end = 0;
};

void dump_json(const disk::BlockDevice& device, const VolumeDump& volume, const SlotRange& range, bool pages,
               std::ostream& out) {
    nlohmann::json all = {{"volume", volume_json(device, volume)}, {"slots", nlohmann::json::array()}};
    for (NodeIndex node = range.first; node < range.end; ++node) {
        const SlotDump slot = read_slot(device, volume.superblock, node);
        nlohmann::json one = slot_json(slot);
        if (pages) {
            one["pages"] = nlohmann::json::array();
            read_pages(device, volume.superblock, slot,
                       [&one](const PageDump& page) { one["pages"].push_back(page_json(page)); });
        }
        all["slots"].push_back(std::move(one));
    }
    out << all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void dump_text(const disk::BlockDevice& device, const VolumeDump& volume, const SlotRange& range, bool pages,
               std::ostream& out) {
    print_volume(out, device, volume);
    const bool one_slot = range.end - range.first == 1;
    std::optional<NodeIndex> free_from;
    for (NodeIndex node = range.first; node < range.end; ++node) {
        const SlotDump slot = read_slot(device, volume.superblock, node);
        if (slot.never_used() && !one_slot && !pages) {
            if (!free_from) free_from = node;
            continue;
        }
        if (free_from) print_free_slots(out, *free_from, static_cast<NodeIndex>(node - 1));
        free_from.reset();
        print_slot(out, slot);
        if (pages)
            read_pages(device, volume.superblock, slot, [&out](const PageDump& page) { print_page(out, page); });
    }
    if (free_from) print_free_slots(out, *free_from, static_cast<NodeIndex>(range.end - 1));
}

}  // namespace

int dump(const disk::BlockDevice& device, const DumpOptions& options, std::ostream& out, std::ostream& err) {
    std::string message;
    const auto volume = read_volume(device, message);
    if (!volume) {
        err << "sdlm dump: " << escaped(message) << '\n';
        return 1;
    }
    const auto slot_count = static_cast<NodeIndex>(volume->superblock.geometry.slot_count);
    SlotRange range{0, slot_count};
    if (options.slot) {
        if (*options.slot >= slot_count) {
            err << "sdlm dump: " << escaped(device.path()) << ": there is no slot " << *options.slot
                << "; the volume has slots 0 to " << slot_count - 1 << '\n';
            return 1;
        }
        range = {*options.slot, static_cast<NodeIndex>(*options.slot + 1)};
    }
    if (options.json) dump_json(device, *volume, range, options.pages, out);
    else dump_text(device, *volume, range, options.pages, out);
    if (!out.flush()) {
        err << "sdlm dump: the output could not be written\n";
        return 1;
    }
    return 0;
}

}  // namespace sdlm::tools
