"""Points the clients of Rasa's own channels at a fake service, in a process that loads this first.

Copied into a test's project, whose credentials.yml names it above the channels.
"""

import os
from functools import partial

from aiogram.bot import api
from rasa.core.channels import facebook, slack, telegram
from rasa.core.channels.rest import RestInput

URL = os.environ["FAKE_SERVICE"]


class Pointing(RestInput):
    @classmethod
    def name(cls):
        return "pointing"


class MessengerClient(facebook.MessengerClient):
    @property
    def graph_url(self):
        return URL + "graph"

    @graph_url.setter
    def graph_url(self, value):
        pass


async def set_webhook(self, url):
    """Not that of aiogram 2.15: what it leaves open in a loop that ends breaks every later call.

    So Rasa's Telegram channel cannot work beside aiohttp 3.9; other releases of aiogram can.
    """
    return True


facebook.MessengerClient = MessengerClient
slack.AsyncWebClient = partial(slack.AsyncWebClient, base_url=f"{URL}api/")
object.__setattr__(api.TELEGRAM_PRODUCTION, "base", f"{URL}bot{{token}}/{{method}}")
telegram.TelegramOutput.set_webhook = set_webhook
