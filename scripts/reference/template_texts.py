# SPDX-License-Identifier: MIT
"""Chat templates as Jinja programs, one for each family of src/tokenizer/template_families.cpp.

Written for the tests: each has the markers and the behaviour of the templates that models of its family bring along,
for system prompts, users' messages and answers. Tools and whatever else those can do is left out.
"""

from __future__ import annotations

SPLIT_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
)


def chatml(content: str = "message['content']", system: str = "", opening: str = "") -> str:
    start = (
        f"{{% if messages[0]['role'] != 'system' %}}{{{{ '<|im_start|>system\\n{system}<|im_end|>\\n' }}}}{{% endif %}}"
        if system
        else ""
    )
    return (
        start
        + "{% for message in messages %}"
        + f"{{{{ '<|im_start|>' + message['role'] + '\\n' + {content} + '<|im_end|>\\n' }}}}"
        + "{% endfor %}{% if add_generation_prompt %}"
        + f"{{{{ '<|im_start|>assistant\\n{opening}' }}}}"
        + "{% endif %}"
    )


THOUGHTLESS = (
    "(message['content'].split('</think>')[-1].lstrip('\\n') "
    "if '</think>' in message['content'] else message['content'])"
)
OPEN_LLAMA3 = "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"


def mistral(before: str, after: str, lead: str, content: str = "message['content']") -> str:
    return (
        SPLIT_SYSTEM
        + "{{ bos_token }}{% for message in rest %}{% if message['role'] == 'user' %}"
        + f"{{% if loop.first and system %}}{{{{ '{before}' + system + '\\n\\n' + message['content'] + '{after}' }}}}"
        + f"{{% else %}}{{{{ '{before}' + message['content'] + '{after}' }}}}{{% endif %}}"
        + f"{{% else %}}{{{{ {lead}{content} + eos_token }}}}{{% endif %}}{{% endfor %}}"
    )


def deepseek3(opening: str) -> str:
    return (
        SPLIT_SYSTEM
        + "{{ bos_token + system }}{% for message in rest %}{% if message['role'] == 'user' %}"
        + "{{ '<｜User｜>' + message['content'] }}{% else %}"
        + "{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}"
        + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + f"{{{{ '<｜Assistant｜>{opening}' }}}}"
        + "{% endif %}"
    )


def with_roles(user: str, assistant: str, system: str, opening: str, front: str = "") -> str:
    return (
        front
        + "{% for message in messages %}{% if message['role'] == 'user' %}{{ "
        + user
        + " }}{% elif message['role'] == 'assistant' %}{{ "
        + assistant
        + " }}{% else %}{{ "
        + system
        + " }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ "
        + opening
        + " }}{% endif %}"
    )


TEMPLATES = {
    "chatml": chatml(),
    "qwen": chatml(system="You speak plainly and say what you do not know."),
    "qwen3": chatml(content=THOUGHTLESS),
    "qwen3-think": chatml(content=THOUGHTLESS, opening="<think>\\n"),
    "llama2": SPLIT_SYSTEM
    + "{% for message in rest %}{% set content = message['content'] %}"
    + "{% if loop.first and system %}"
    + "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + content %}{% endif %}"
    + "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    + "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "llama3": "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}" + OPEN_LLAMA3,
    "llama3.1": SPLIT_SYSTEM
    + "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\n"
    + "Today Date: 26 Jul 2024\\n\\n' + system | trim + '<|eot_id|>' }}{% for message in rest %}"
    + "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + "
    + "'<|eot_id|>' }}{% endfor %}"
    + OPEN_LLAMA3,
    "zephyr": with_roles(
        "'<|user|>\\n' + message['content'] + eos_token + '\\n'",
        "'<|assistant|>\\n' + message['content'] + eos_token + '\\n'",
        "'<|system|>\\n' + message['content'] + eos_token + '\\n'",
        "'<|assistant|>\\n'",
    ),
    "tulu": with_roles(
        "'<|user|>\\n' + message['content'] + '\\n'",
        "'<|assistant|>\\n' + message['content'] + eos_token + '\\n'",
        "'<|system|>\\n' + message['content'] + '\\n'",
        "'<|assistant|>\\n'",
        "{{ bos_token }}",
    ),
    "mistral": mistral("[INST] ", " [/INST]", ""),
    "mistral-v1": mistral(" [INST] ", " [/INST]", "' ' + "),
    "mistral-v3": mistral("[INST] ", "[/INST]", "' ' + ", "message['content'] | trim"),
    "mistral-tekken": mistral("[INST]", "[/INST]", "").replace("'[INST]'", '"[INST]"'),
    "mistral-v7": with_roles(
        "'[INST]' + message['content'] + '[/INST]'",
        "message['content'] + eos_token",
        "'[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]'",
        "''",
        "{{ bos_token }}",
    ),
    "gemma": SPLIT_SYSTEM
    + "{{ bos_token }}{% for message in rest %}{% set who = 'model' if message['role'] == 'assistant' else 'user' %}"
    + "{{ '<start_of_turn>' + who + '\\n' + (system + '\\n\\n' if loop.first and system else '') }}"
    + "{{ message['content'] | trim }}{{ '<end_of_turn>\\n' }}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    "phi3": with_roles(
        "'<|user|>\\n' + message['content'] + '<|end|>\\n'",
        "'<|assistant|>\\n' + message['content'] + '<|end|>\\n'",
        "'<|system|>\\n' + message['content'] + '<|end|>\\n'",
        "'<|assistant|>\\n'",
        "{{ bos_token }}",
    ),
    "phi4": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + "
    "'<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
    "deepseek": with_roles(
        "'User: ' + message['content'] + '\\n\\n'",
        "'Assistant: ' + message['content'] + eos_token",
        "message['content'] + '\\n\\n'",
        "'Assistant:'",
        "{{ bos_token }}",
    ),
    "deepseek3": deepseek3(""),
    "deepseek-r1": deepseek3("<think>\\n"),
    "vicuna": with_roles(
        "'USER: ' + message['content'].strip() + '\\n'",
        "'ASSISTANT: ' + message['content'].strip() + eos_token + '\\n'",
        "message['content'].strip() + '\\n\\n'",
        "'ASSISTANT:'",
        "{{ bos_token }}",
    ),
    "alpaca": with_roles(
        "'### Instruction:\\n' + message['content'].strip() + '\\n\\n'",
        "'### Response:\\n' + message['content'].strip() + eos_token + '\\n\\n'",
        "message['content'].strip() + '\\n\\n'",
        "'### Response:\\n'",
        "{{ bos_token }}",
    ),
}
