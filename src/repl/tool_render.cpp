// SPDX-License-Identifier: MIT
#include "engine/templates.h"
#include "repl/tools.h"

namespace llmk {

namespace {

enum class Role : uint8_t { system, user, assistant };
constexpr std::string_view kRoles[] = {"[system]", "[user]", "[assistant]"};

struct Message {
    Role role;
    std::string_view text;
};

bool is_role_line(std::string_view line, Role& role)
{
    if (!line.empty() && line.back() == '\r') {
        line.remove_suffix(1);
    }
    for (size_t i = 0; i < std::size(kRoles); ++i) {
        if (line == kRoles[i]) {
            role = static_cast<Role>(i);
            return true;
        }
    }
    return false;
}

/// Takes the next message off the front of `rest`, whose first line names a role; the line break before the next
/// message is not part of it.
Message next_message(std::string_view& rest)
{
    Message message{Role::user, {}};
    (void)is_role_line(head(rest, rest.find('\n')), message.role);
    rest = tail(rest, std::min(rest.find('\n'), rest.size() - 1) + 1);
    const std::string_view body = rest;
    size_t length = 0;
    for (Role next; !rest.empty() && !is_role_line(head(rest, rest.find('\n')), next);) {
        const size_t line = std::min(rest.find('\n'), rest.size() - 1) + 1;
        rest = tail(rest, line);
        length += line;
    }
    message.text = head(body, length);
    if (message.text.ends_with('\n')) {
        message.text.remove_suffix(1);
    }
    return message;
}

/// Writes the conversation to `prompt`.
Result<void> render(std::string_view conversation, const ChatTemplate& how, std::string_view system, Prompt& prompt)
{
    Role first_role;
    const bool marked = is_role_line(head(conversation, conversation.find('\n')), first_role);
    std::string_view rest = conversation;
    bool answered = true; // it is the person's turn
    size_t turns = 0;
    for (size_t number = 1; !rest.empty(); ++number) {
        const Message message = marked ? next_message(rest) : Message{Role::user, rest};
        rest = marked ? rest : std::string_view();
        if (message.role == Role::system && number == 1) {
            system = system.empty() ? message.text : system;
            continue;
        }
        if (message.role != (answered ? Role::user : Role::assistant)) {
            return fail(Status::invalid_argument, "message {} is {}, expected {}", number,
                        kRoles[static_cast<size_t>(message.role)], answered ? kRoles[1] : kRoles[2]);
        }
        if (message.role == Role::user) {
            if (turns == 0) {
                TRY(prompt.front(how, system));
            }
            TRY(prompt.user(how, message.text, turns == 0, system));
            TRY(prompt.open(how));
            ++turns;
        } else {
            TRY(prompt.answer(how, message.text));
            TRY(prompt.close(how));
        }
        answered = !answered;
    }
    if (turns == 0) {
        return fail(Status::invalid_argument, "there is no message of a user in the conversation");
    }
    return answered ? success() : prompt.thought(how);
}

Result<void> print_ids(Platform& platform, const Tokenizer& tokenizer, const Prompt& prompt)
{
    const uint64_t room = prompt.max_tokens(tokenizer);
    Arena arena;
    TRY(arena.add_extent(platform, prompt.scratch_bytes(tokenizer) + room * sizeof(Token) + 2 * Arena::kAlignment));
    const auto print = [&]() -> Result<void> {
        const std::span<Token> ids{TRY(arena.alloc_array<Token>(room)), static_cast<size_t>(room)};
        const size_t count = TRY(prompt.encode(tokenizer, TextStart::fresh, ids, arena));
        for (size_t i = 0; i < count; ++i) {
            platform.console_write(Text<16>("{}{}", i == 0 ? "" : " ", ids[i]));
        }
        platform.console_write("\n");
        return success();
    };
    auto result = print();
    arena.release(platform);
    return result;
}

Result<ChatTemplate> template_for(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                                  std::string_view name)
{
    constexpr uint64_t kNameBytes = 256;
    Arena arena;
    TRY(arena.add_extent(platform, tokenizer.scratch_bytes(kNameBytes) +
                                       tokenizer.max_tokens(kNameBytes) * sizeof(Token) + 4 * Arena::kAlignment));
    auto how = choose_template(platform, desc, tokenizer, name.empty() ? "auto" : name, arena);
    arena.release(platform);
    return how;
}

} // namespace

Result<void> tool_render(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                         std::string_view conversation, const ToolArgs& args)
{
    const ChatTemplate how = TRY(template_for(platform, desc, tokenizer, args.chat_template));
    Prompt prompt(platform);
    TRY(render(conversation, how, args.system, prompt));
    if (args.ids) {
        return print_ids(platform, tokenizer, prompt);
    }
    prompt.print(tokenizer, &platform,
                 [](void* context, std::string_view piece) { static_cast<Platform*>(context)->console_write(piece); });
    platform.console_write("\n");
    return success();
}

} // namespace llmk
