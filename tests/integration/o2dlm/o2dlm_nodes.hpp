// SPDX-License-Identifier: LGPL-2.1-or-later
// Two real nodes, and programs on them that use libo2dlm in each of its forms: our shared library, our archive, or (run
// by original.sh, which can get it) the original archive with the preloaded object.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/integration/cluster/cluster.hpp"
#include "tests/integration/o2dlm/talker.hpp"

namespace sdlm {

std::vector<Flavour> flavours();
inline std::string flavour_name(const testing::TestParamInfo<Flavour>& info) { return info.param.name; }

class O2dlm : public testing::TestWithParam<Flavour> {
protected:
    void SetUp() override;
    std::unique_ptr<Talker> program(unsigned node) const;
    std::string mount(unsigned node) const { return cluster_.mount(node); }
    // A program on that node whose context 0 is in the domain.
    std::unique_ptr<Talker> joined(unsigned node, const std::string& domain = "dom") const;
    std::vector<std::string> names_in(const std::string& directory) const;
    bool original() const { return GetParam().original; }

    Cluster cluster_;
};

}  // namespace sdlm
