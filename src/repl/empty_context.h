// SPDX-License-Identifier: MIT
#pragma once

#include "engine/engine.h"

namespace llmk {

/// For tools that run the loaded model from an empty context: forgets the turns at once, and at the end of its life
/// puts the system prompt back in front of an empty conversation.
class EmptyContext {
public:
    explicit EmptyContext(Engine& engine) : m_engine(engine), m_system(engine.chat().system())
    {
        engine.chat().clear();
        engine.session().rewind(0);
        engine.session().scratch().clear();
    }
    ~EmptyContext()
    {
        m_engine.session().scratch().clear();
        // It fitted before; if the sentinel trips on it now, the log says so and the prompt is without it.
        (void)m_engine.chat().set_system(m_system, {}).ok();
    }
    EmptyContext(const EmptyContext&) = delete;
    EmptyContext& operator=(const EmptyContext&) = delete;

private:
    Engine& m_engine;
    Text<2048> m_system;
};

} // namespace llmk
