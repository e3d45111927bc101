"""Source of handler modules that tests write into a project's directory."""

ECHO = """
async def handle(message, output):
    await output.send_text_message(message.sender_id, message.text)
"""

EVERYTHING = '''
import asyncio

ATTEMPTS = {}

async def handle(message, output):
    """Does what the text says."""
    to, text = message.sender_id, message.text
    if text == "fail":
        raise ValueError("said: " + text.upper())
    if text == "fail once":
        ATTEMPTS[message.id] = ATTEMPTS.get(message.id, 0) + 1
        await output.send_text_message(to, "before")
        if ATTEMPTS[message.id] == 1:
            raise ValueError("the first time")
        await output.send_text_message(to, "after")
    elif text == "slow":
        await asyncio.sleep(3)
        await output.send_text_message(to, "late")
    elif text == "nothing":
        return
    elif text == "kinds":
        await output.send_text_message(to, "one\\n\\ntwo")
        await output.send_text_with_buttons(to, "pick", [{"title": "A", "payload": "/a"}])
        await output.send_quick_replies(to, "quick", [{"title": "B", "payload": "/b"}])
        await output.send_image_url(to, "https://example.com/i.png")
        await output.send_attachment(to, "https://example.com/a.pdf")
        await output.send_elements(to, [{"title": "T", "subtitle": "S", "buttons": []}])
        await output.send_custom_json(to, {"k": [1]})
    else:
        await output.send_text_message(to, text)
'''

SLOW_THEN_QUICK = """
import asyncio


def note(text):
    with open("turns.log", "a") as log:
        print(text, file=log)


async def handle(message, output):
    note(f"{message.text} began")
    try:
        # Longer than it takes to notice the cut the first time, short the second time.
        await asyncio.sleep(60 if open("turns.log").read().count("began") == 1 else 0.1)
    except asyncio.CancelledError:
        note(f"{message.text} cancelled")
        raise
    note(f"{message.text} ended")
"""
