// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/volume_search.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "disk/io/block_device.hpp"

namespace sdlm::tools {

Result<Volume> volume_on(const std::string& device, std::string& message) {
    auto opened = disk::BlockDevice::open(device, {});
    if (!opened) {
        message = "cannot read " + device + ": " + describe(opened.error());
        return opened.error();
    }
    const auto loaded = disk::load_superblock(*opened, message);
    if (!loaded) {
        if (message.find(device) == std::string::npos) message = device + ": " + message;
        return loaded.error();
    }
    std::error_code error;
    const auto canonical = std::filesystem::canonical(device, error);
    return Volume{loaded->superblock.uuid, error ? device : canonical.string()};
}

std::vector<std::string> block_devices() {
    std::vector<std::string> found;
    std::ifstream partitions("/proc/partitions");
    std::string line;
    while (std::getline(partitions, line)) {
        std::istringstream fields(line);
        unsigned major = 0;
        unsigned minor = 0;
        std::uint64_t kib = 0;
        std::string name;
        if (!(fields >> major >> minor >> kib >> name)) continue;
        std::error_code error;
        const bool used = !std::filesystem::is_empty("/sys/class/block/" + name + "/holders", error) && !error;
        // In /proc and /sys a '/' of a device's name is a '!'.
        for (char& c : name) c = c == '!' ? '/' : c;
        if (!used) found.push_back("/dev/" + name);
    }
    return found;
}

Result<Volume> find_volume(const Uuid& uuid, const std::vector<std::string>& candidates, std::string& message) {
    std::vector<Volume> found;
    std::string ignored;
    for (const std::string& device : candidates) {
        auto volume = volume_on(device, ignored);
        if (volume && volume->uuid == uuid) found.push_back(std::move(*volume));
    }
    if (found.size() == 1) return found.front();
    if (found.empty()) {
        message = "no block device of this host carries the volume " + to_string(uuid) +
                  "; name the device (or image file) instead";
        return Error{.code = Errc::not_found, .field = "UUID"};
    }
    message = "several devices carry the volume " + to_string(uuid) +
              " (paths to one disk, or copies of it?); name the right one instead:";
    for (const Volume& volume : found) message += "\n  " + volume.device;
    return Error{.code = Errc::bad_argument, .field = "UUID"};
}

}  // namespace sdlm::tools
