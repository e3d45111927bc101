"""Points the clients of Rasa's own channels at a fake service, in processes that import it first.

Copied into a test's project; its credentials.yml names this module before the channels.
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
    """Replaces set_webhook of aiogram 2.15, whose open session breaks all calls in later loops.

    So Rasa's Telegram channel does not work with aiohttp 3.9; other releases of aiogram do.
    """
    return True


facebook.MessengerClient = MessengerClient
slack.AsyncWebClient = partial(slack.AsyncWebClient, base_url=f"{URL}api/")
object.__setattr__(api.TELEGRAM_PRODUCTION, "base", f"{URL}bot{{token}}/{{method}}")
telegram.TelegramOutput.set_webhook = set_webhook
