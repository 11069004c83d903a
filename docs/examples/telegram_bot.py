"""A Telegram bot that asks for name and phone, and answers as soon as the lead is on disk.

Needs leadsquared_async[outbox,phone] and aiogram 3:

    TELEGRAM_TOKEN=... python telegram_bot.py

Telegram's contact button sends name and phone in one message. So one update is one whole lead: a restart
loses no conversation, and an update that Telegram delivers again is the same lead.
"""

import asyncio
import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.types import (
    Contact,
    ErrorEvent,
    KeyboardButton,
    Message,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    Update,
)

from leadsquared_async import ItemState, LeadSquared, Outbox, OutboxItem, phone

logger = logging.getLogger("telegram_bot")

ASK = ReplyKeyboardMarkup(
    keyboard=[[KeyboardButton(text="Send my name and number", request_contact=True)]],
    resize_keyboard=True,
)
UNDER_WAY = (ItemState.PENDING, ItemState.SENDING, ItemState.ACCEPTED)


class Chats:
    """The chat of each lead, on disk.

    The id of a private chat is the id of a person. So it is not used as the outbox's key or reference, which
    are in log lines and are kept as long as the row. It is stored here, and deleted when its lead is final.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("CREATE TABLE IF NOT EXISTS chats (key TEXT PRIMARY KEY, chat INTEGER)")

    def remember(self, key: str, chat: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO chats VALUES (?, ?)", (key, chat))

    def find(self, key: str | None) -> int | None:
        row = self._db.execute("SELECT chat FROM chats WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def forget(self, key: str | None) -> None:
        self._db.execute("DELETE FROM chats WHERE key = ?", (key,))

    def close(self) -> None:
        self._db.close()


router = Router()


@router.message(
    F.contact, F.contact.user_id == F.from_user.id
)  # the sender's own contact, not a forwarded one
async def contact(message: Message, event_update: Update, bot: Bot, outbox: Outbox, chats: Chats) -> None:
    key = f"telegram-{bot.id}-{event_update.update_id}"
    chats.remember(key, message.chat.id)  # first, because the lead may be final as soon as it is put
    ticket = await outbox.put(lead_of(message.contact), key=key, reference=key)  # the log shows references
    if ticket.state not in UNDER_WAY:
        chats.forget(key)  # a repeated update, whose lead is already final
    await message.answer("Thank you. We will call you.", reply_markup=ReplyKeyboardRemove())


@router.message()
async def anything_else(message: Message) -> None:
    await message.answer("Press the button, and we will call you.", reply_markup=ASK)


@router.error()
async def failed(event: ErrorEvent) -> None:
    """The lead was not stored, or the answer not sent. No traceback is logged: it might quote the message."""
    update = event.update
    logger.error("update %d failed with %s", update.update_id, type(event.exception).__name__)
    if update.message is not None:
        await update.message.answer("That did not work. Please try again in a minute.", reply_markup=ASK)


def lead_of(contact: Contact | None) -> dict[str, str | None]:
    assert contact is not None
    number = f"+{contact.phone_number.lstrip('+')}"  # Telegram sends it with and without the +
    return {"FirstName": contact.first_name, "LastName": contact.last_name, "Phone": number}


async def main(token: str, api: str) -> None:
    chats = Chats(Path("chats.db"))
    session = AiohttpSession(api=TelegramAPIServer.from_base(api))
    async with Bot(token, session=session) as bot, LeadSquared(normalize=phone("IN")) as lsq:
        outbox = Outbox("leads.db", lsq)

        @outbox.on_final
        async def ended(item: OutboxItem) -> None:
            """May be called again, after a crash or if it fails; so the chat is forgotten last."""
            chat = chats.find(item.key)
            if item.state is ItemState.CONFIRMED:
                logger.info("%s is lead %s", item.key, item.lead_id)
            else:  # the reason may quote the lead: `leadsquared outbox export` has it
                logger.error("%s is %s: row %d of the outbox", item.key, item.state, item.id)
            if item.state is ItemState.REJECTED and chat is not None:
                with suppress(TelegramBadRequest, TelegramForbiddenError):  # if the person has left
                    await bot.send_message(chat, "We could not save your number. Please call us.")
            chats.forget(item.key)

        async with outbox:
            # One at a time: the request for the next updates confirms the previous ones, and by then their
            # leads are on disk. The session stays open for leads that become final during shutdown.
            dispatcher = Dispatcher(outbox=outbox, chats=chats)
            dispatcher.include_router(router)
            await dispatcher.start_polling(bot, handle_as_tasks=False, close_bot_session=False)
    chats.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    api = os.environ.get("TELEGRAM_API_URL", "https://api.telegram.org")  # or your own Bot API server
    asyncio.run(main(os.environ["TELEGRAM_TOKEN"], api))
