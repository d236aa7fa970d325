"""Ask a gateway a few questions with the official OpenAI client; print the talk as Markdown.

Usage: ask.py BASE_URL MODEL
"""

import sys
import time

from openai import OpenAI

base_url, model = sys.argv[1:]
client = OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120)


def ask(question, **options):
    return client.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=24,
        **options,
    )


def show(kind, question, answer, headers, usage, seconds, first=None, cost=None):
    header = lambda name: headers.get(f"x-rungs-{name}", "not sent")
    facts = [
        f"tier {header('tier')}",
        f"model {header('model')}",
        f"cache {header('cache')}",
        f"attempts {header('attempts')}",
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else "no usage",
        f"cost {cost or header('cost-usd')} USD",
        f"first text after {first:.2f} s" if first else None,
        f"{seconds:.2f} s",
    ]
    print(f"**{question}** ({kind})\n")
    print("> " + answer.strip().replace("\n", "\n> ") + "\n")
    print(", ".join(fact for fact in facts if fact) + "\n", flush=True)


def whole(question):
    start = time.monotonic()
    raw = ask(question)
    answer = raw.parse()
    seconds = time.monotonic() - start
    show("whole", question, answer.choices[0].message.content, raw.headers, answer.usage, seconds)


def streamed(question):
    start = time.monotonic()
    raw = ask(question, stream=True, stream_options={"include_usage": True})
    text, usage, first, cost = "", None, None, None
    for event in raw.parse():
        usage = event.usage or usage
        # The cost of a stream is known at its end: it comes with the usage.
        cost = (event.model_extra or {}).get("rungs", {}).get("cost_usd", cost)
        piece = event.choices[0].delta.content if event.choices else None
        if piece:
            first = first or time.monotonic() - start
            text += piece
    show("streamed", question, text, raw.headers, usage, time.monotonic() - start, first, cost)


whole("Name three primary colours.")
whole("Name three primary colours.")  # the same question again: a cache hit
whole("What is 17 + 25?")
streamed("Write one sentence about the sea.")
streamed("Say good morning in French.")
