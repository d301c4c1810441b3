// SPDX-License-Identifier: MIT
#include "platform/uefi/probe_mark.h"

namespace llmk::uefi {
namespace {

/// The boot volume for as long as this lives, whichever volume paths are on otherwise.
class OnBootVolume {
public:
    explicit OnBootVolume(Volumes& volumes) : m_volumes(volumes), m_before(volumes.current())
    {
        m_ok = m_volumes.use(0).ok();
    }
    ~OnBootVolume() { (void)m_volumes.use(m_before).ok(); }
    OnBootVolume(const OnBootVolume&) = delete;
    OnBootVolume& operator=(const OnBootVolume&) = delete;

    explicit operator bool() const { return m_ok; }

private:
    Volumes& m_volumes;
    size_t m_before;
    bool m_ok = false;
};

} // namespace

Text<64> ProbeMark::left() const
{
    Text<64> step;
    const OnBootVolume there(m_volumes);
    if (!there) {
        return step;
    }
    auto file = m_volumes.open(kFile, OpenMode::read);
    if (!file.ok()) {
        return step;
    }
    char text[32] = {};
    auto got = m_volumes.read_at(*file.value(), 0, text, sizeof(text));
    m_volumes.close(*file.value());
    step = trim(std::string_view(text, got.ok() ? got.value() : 0));
    if (step.size() == 0) {
        step = "a step that is not told"; // the file was made, and the machine hung before its content was there
    }
    return step;
}

void ProbeMark::set(std::string_view step)
{
    const OnBootVolume there(m_volumes);
    if (!there) {
        return;
    }
    auto file = m_volumes.open(kFile, OpenMode::replace);
    if (!file.ok()) {
        return;
    }
    m_is_set = true;
    (void)m_volumes.write(*file.value(), step.data(), step.size()).ok();
    (void)m_volumes.flush(*file.value()).ok();
    m_volumes.close(*file.value());
}

void ProbeMark::clear()
{
    const OnBootVolume there(m_volumes);
    if (there && m_is_set) {
        (void)m_volumes.remove(kFile).ok();
    }
    m_is_set = false;
}

} // namespace llmk::uefi
