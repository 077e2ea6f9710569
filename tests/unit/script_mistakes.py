"""Scripts with one mistake each. ``@`` stands where the mistake is, and is no part of the script.

Those of ``BEYOND`` have the right shape: no schema can tell them from good ones.
"""

from __future__ import annotations

HEAD = "ringwheel: 1\n"
QUIET = "on: {silence: bye, no_match: bye, error: bye}\n"
BYE = "  bye:\n    - hang_up: done\n"

SHAPE = {
    "no version": ("missing-key", "@name: x\nsteps:\n  - say: Hi\n"),
    "a version to come": ("version", "ringwheel: @2\nsteps:\n  - say: Hi\n"),
    "an unknown key": ("unknown-key", HEAD + "@nmae: Shop\nsteps:\n  - say: Hi\n"),
    "no steps": ("missing-key", "@" + HEAD),
    "steps that are no list": ("wrong-type", HEAD + "steps: @Hi\n"),
    "steps twice": (
        "duplicate-flow",
        HEAD + "flows:\n  main:\n    - say: Hi\n@steps:\n  - say: Ho\n",
    ),
    "an unknown step": ("unknown-step", HEAD + "steps:\n  - @sya: Hi\n"),
    "a step with two verbs": ("step", HEAD + "steps:\n  - say: Hi\n    @hang_up: done\n"),
    "a step that is a word": ("wrong-type", HEAD + "steps:\n  - @hello\n"),
    "an unknown key of a step": (
        "unknown-key",
        HEAD + "steps:\n  - transfer: {to: '123', @timout: 3s, failed: []}\n",
    ),
    "a transfer to a script and to a number": (
        "unknown-key",
        HEAD + "steps:\n  - transfer: {script: other.yaml, @to: '123'}\n",
    ),
    "a transfer to a number with variables": (
        "unknown-key",
        HEAD + "steps:\n  - transfer: {to: '123', @with: {a: 1}, failed: []}\n",
    ),
    "a script that lies elsewhere": (
        "missing-file",
        HEAD + "steps:\n  - transfer: {script: @../other.yaml}\n",
    ),
    "a key that is missing": (
        "missing-key",
        HEAD
        + QUIET
        + "steps:\n  - ask: @{prompt: Age?, answer: number}\n  - goto: bye\nflows:\n"
        + BYE,
    ),
    "an unknown answer": (
        "wrong-value",
        HEAD + "steps:\n  - ask: {into: a, prompt: Age?, answer: @numbr}\n",
    ),
    "an answer that says too little": (
        "wrong-value",
        HEAD + "steps:\n  - ask: {into: a, prompt: Age?, answer: @scale}\n",
    ),
    "a lower bound above the upper": (
        "wrong-value",
        HEAD + "steps:\n  - ask: {into: a, prompt: Age?, answer: {number: @{min: 9, max: 1}}}\n",
    ),
    "a duration without a unit": (
        "wrong-type",
        HEAD + "steps:\n  - say: [Hi, {pause: @3}]\n",
    ),
    "a duration that is too long": (
        "wrong-value",
        HEAD + "steps:\n  - http: {url: 'https://a.example', deadline: @3h, failed: []}\n",
    ),
    "an unknown kind of prompt": ("prompt", HEAD + "steps:\n  - say: {@txt: Hi}\n"),
    "two kinds of prompt in one": ("prompt", HEAD + "steps:\n  - say: {text: Hi, @number: '3'}\n"),
    "a file outside of the folder": ("prompt", HEAD + "steps:\n  - say: {file: @../a.wav}\n"),
    "an amount without its currency": ("missing-key", HEAD + "steps:\n  - say: @{amount: '3'}\n"),
    "who may interrupt": ("wrong-value", HEAD + "steps:\n  - say: {text: Hi, barge_in: @always}\n"),
    "a name with a capital": ("name", HEAD + "steps:\n  - set: {@Total: 3}\n"),
    "a name that expressions have": ("name", HEAD + "steps:\n  - set: {@len: 3}\n"),
    "a locale that is none": ("locale", HEAD + "locale: @english please\nsteps:\n  - say: Hi\n"),
    "a locale without numbers": ("locale", HEAD + "locale: tlh\nsteps:\n  - say: @{number: '3'}\n"),
    "a url without its scheme": (
        "wrong-value",
        HEAD + "steps:\n  - http: {url: @shop.example/, failed: []}\n",
    ),
    "digits with a letter": ("wrong-value", HEAD + "steps:\n  - send_digits: @12X\n"),
    "a secret in the script": (
        "wrong-value",
        HEAD + "secrets: {key: @hunter2-hunter2}\nsteps:\n  - say: Hi\n",
    ),
    "a handler that nothing opens": (
        "missing-key",
        HEAD + "on:\n  @operator: {then: bye}\nflows:\n  main:\n    - say: Hi\n" + BYE,
    ),
    "an event with phrases": (
        "wrong-type",
        HEAD + "on:\n  silence: @{phrases: [hello]}\nsteps:\n  - say: Hi\n",
    ),
    "an empty flow": ("empty-flow", HEAD + "flows:\n  main:\n    - say: Hi\n  @other: []\n"),
    "branches of retries that are empty": (
        "wrong-value",
        HEAD + "steps:\n  - ask: {into: a, prompt: Age?, answer: number, retries: {then: @[]}}\n",
    ),
    "an expression that cannot be read": (
        "expression",
        HEAD + "steps:\n  - if: {when: @a = 3, then: [hang_up: done]}\n",
    ),
    "a function that there is not": (
        "expression",
        HEAD + "steps:\n  - say: You are ${@length('a')} years old.\n",
    ),
    "a template that does not end": ("expression", HEAD + "steps:\n  - say: @Hello ${name\n"),
    "a question of a survey twice": (
        "duplicate-key",
        HEAD
        + "questionnaire:\n  questions:\n    - {id: a, ask: A?, answer: text}\n"
        + "    - {id: @a, ask: B?, answer: text}\n",
    ),
    "points that are no number": (
        "wrong-type",
        HEAD
        + "questionnaire:\n  questions:\n"
        + "    - {id: a, ask: A?, answer: yes_no, score: {yes: @much}}\n",
    ),
    "a grammar that is not there": (
        "missing-file",
        HEAD + "steps:\n  - ask: {into: a, prompt: Age?, answer: {grammar: @none.grxml}}\n",
    ),
    "words that nobody can count in": (
        "grammar",
        HEAD + "locale: pt\nsteps:\n  - ask: {into: a, prompt: Age?, answer: @number}\n",
    ),
}

YAML = {
    "a tab for indentation": ("syntax", HEAD + "steps:\n@\t- say: Hi\n"),
    "a bracket that is not closed": ("syntax", HEAD + "steps: [\n  say: Hi\n@"),
    "a key twice": ("duplicate-key", HEAD + "name: A\n@name: B\nsteps:\n  - say: Hi\n"),
    "a tag": ("tag", HEAD + "name: @!!binary A\nsteps:\n  - say: Hi\n"),
    "a second document": ("documents", HEAD + "steps:\n  - say: Hi\n@---\nname: B\n"),
    "an alias within itself": ("alias", HEAD + "steps: &a\n  - say: [@*a]\n"),
    "an alias of nothing": ("alias", HEAD + "steps: @*a\n"),
    "a merge key": ("key", HEAD + "@<<: {name: A}\nsteps:\n  - say: Hi\n"),
}

BEYOND = {
    "a flow that there is not": ("unknown-flow", HEAD + "steps:\n  - goto: @bye\n"),
    "a start that there is not": ("unknown-flow", HEAD + "start: @begin\nsteps:\n  - say: Hi\n"),
    "a step that is never reached": (
        "unreachable",
        HEAD + "steps:\n  - hang_up: done\n  - @say: Hi\n  - say: Ho\n",
    ),
    "a flow that is never used": (
        "unused-flow",
        HEAD + "flows:\n  main:\n    - say: Hi\n  @other:\n    - say: Ho\n",
    ),
    "a question without a way out": (
        "dead-end",
        HEAD + "report: [a]\nsteps:\n  - @ask: {into: a, prompt: Age?, answer: number}\n",
    ),
    "a question to nobody": (
        "nobody-there",
        HEAD
        + "on:\n  hang_up:\n    - @confirm: {prompt: Still there?, retries: {then: bye}}\n"
        + "flows:\n  main:\n    - say: Hi\n"
        + BYE,
    ),
    "a service that may fail": (
        "dead-end",
        HEAD + "steps:\n  - @http: {url: 'https://a.example'}\n",
    ),
    "a loop without an end": (
        "endless-loop",
        HEAD + "flows:\n  main:\n    - @say: Hi\n    - goto: again\n  again:\n    - goto: main\n",
    ),
    "a silent caller, asked for ever": (
        "endless-retries",
        HEAD
        + "flows:\n  main:\n    - @confirm: {prompt: Well?, yes: bye, retries: {then: main}}\n"
        + BYE,
    ),
    "a flow that calls itself": (
        "endless-recursion",
        HEAD + "flows:\n  main:\n    - call: a\n  a:\n    - say: Hi\n    - @call: a\n",
    ),
    "an argument that is missing": (
        "arguments",
        HEAD
        + "flows:\n  main:\n    - @call: a\n"
        + "  a:\n    parameters: [x]\n    steps:\n      - say: ${x}\n",
    ),
    "an argument that nobody wants": (
        "arguments",
        HEAD + "flows:\n  main:\n    - call: {flow: a, with: {y: @3}}\n  a:\n    - say: Hi\n",
    ),
    "goto with parameters": (
        "arguments",
        HEAD
        + "flows:\n  main:\n    - @goto: a\n"
        + "  a:\n    parameters: [x]\n    steps:\n      - say: ${x}\n",
    ),
    "a sound file that is not there": (
        "missing-prompt",
        HEAD + "steps:\n  - say: {file: @hello.wav, text: Hello}\n",
    ),
    "two options with one phrase": (
        "collision",
        HEAD
        + "steps:\n  - choose:\n      prompt: Well?\n      retries: {then: [hang_up: done]}\n"
        + "      options:\n        a: [one, two]\n        b: [three, @Two]\n",
    ),
    "two options with phrases that sound alike": (
        "collision",
        HEAD
        + "steps:\n  - choose:\n      prompt: Well?\n      retries: {then: [hang_up: done]}\n"
        + "      options:\n        a: [Check in!]\n        b: [three, @check-in]\n",
    ),
    "two options with one key": (
        "collision",
        HEAD
        + "steps:\n  - choose:\n      prompt: Well?\n      retries: {then: [hang_up: done]}\n"
        + "      options: {a: 1, b: @1}\n",
    ),
    "keys that begin alike": (
        "key-prefix",
        HEAD
        + "steps:\n  - choose:\n      prompt: Well?\n      retries: {then: [hang_up: done]}\n"
        + "      options: {a: 1, b: @12}\n",
    ),
    "two handlers with one phrase": (
        "collision",
        HEAD
        + "on:\n  operator: {phrases: [help], then: bye}\n  other: {phrases: [@help], then: bye}\n"
        + "flows:\n  main:\n    - say: Hi\n"
        + BYE,
    ),
    "two handlers with phrases that sound alike": (
        "collision",
        HEAD
        + "on:\n  operator: {phrases: [Help!], then: bye}\n  other: {phrases: [@help], then: bye}\n"
        + "flows:\n  main:\n    - say: Hi\n"
        + BYE,
    ),
    "a handler's phrase that is an answer": (
        "collision",
        HEAD
        + "on:\n  operator: {phrases: [yes], then: bye}\n"
        + "flows:\n  main:\n    - @confirm: {prompt: Well?, retries: {then: bye}}\n"
        + BYE,
    ),
    "a handler's key that digits begin with": (
        "key-prefix",
        HEAD
        + "report: [a]\non:\n  operator: {key: 0, then: bye}\nflows:\n  main:\n"
        + "    - @ask: {into: a, prompt: Well?, answer: {digits: 4}, retries: {then: bye}}\n"
        + BYE,
    ),
    "a variable that nothing sets": ("unset-variable", HEAD + "steps:\n  - say: Hello ${@nmae}\n"),
    "a text without its quotes": (
        "unset-variable",
        HEAD + "report: [a]\nsteps:\n  - set: {a: @open}\n",
    ),
    "a variable that is set on one way": (
        "maybe-unset",
        HEAD
        + "steps:\n  - if: {when: facts.caller == '1', then: [set: {a: 1}]}\n"
        + "  - say: It is ${@a}.\n",
    ),
    "a variable of the caller's": (
        "unset-variable",
        HEAD
        + "flows:\n  main:\n    - set: {a: 1}\n    - say: ${a}\n    - call: b\n"
        + "  b:\n    - say: ${@a}\n",
    ),
    "a report of nothing": ("unset-variable", HEAD + "report: [@total]\nsteps:\n  - say: Hi\n"),
    "a variable that nobody reads": ("unused-variable", HEAD + "steps:\n  - @set: {a: 1}\n"),
    "a secret that is said": (
        "secret",
        HEAD + "secrets: {key: KEY}\nsteps:\n  - set: {a: secrets.key}\n  - say: It is ${@a}.\n",
    ),
    "a secret that is handed over": (
        "secret",
        HEAD
        + "secrets: {key: KEY}\nsteps:\n  - transfer: {script: script, with: {a: @secrets.key}}\n",
    ),
    "another script that is not there": (
        "missing-file",
        HEAD + "steps:\n  - @transfer: {script: other.yaml}\n",
    ),
    "a variable that the other script does not have": (
        "arguments",
        HEAD + "steps:\n  - transfer: {script: script, with: {a: @1}}\n",
    ),
    "a currency that there is not": (
        "wrong-value",
        HEAD + "steps:\n  - say: {amount: '3', currency: @ERU}\n",
    ),
    "a transfer that rings longer than anybody may": (
        "wrong-value",
        HEAD + "steps:\n  - transfer: {to: '123', timeout: @4m, failed: []}\n",
    ),
    "a secret that is reported": (
        "secret",
        HEAD + "secrets: {key: KEY}\nreport: [a]\nsteps:\n  - set: {a: @secrets.key}\n",
    ),
    "a secret that is not declared": (
        "unknown-secret",
        HEAD
        + "steps:\n"
        + "  - http: {url: 'https://a.example', headers: {X: '${@secrets.key}'}, failed: []}\n",
    ),
}
