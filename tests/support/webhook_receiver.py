"""A receiver of signed webhooks: takes messages whose signature is right, once each by their id."""

import base64
import hashlib
import hmac
import json

from api_server import Answer, ApiServer

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"24 bytes of a real secret").decode()


class Receiver(ApiServer):
    """`taken` has id → message; `came` every message that was signed right, as often as it came."""

    def __init__(self):
        super().__init__()
        self.taken, self.came, self.status, self.refused = {}, [], 200, set()

    def answer(self, method, path, query, body, headers):
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}"
        key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, content.encode(), hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != f"v1,{wanted}":
            return Answer({}, 401)
        message = json.loads(body)
        self.came.append((headers["webhook-id"], body))
        if message["data"]["subject_id"] in self.refused:
            return Answer({}, 422)
        if self.status == 200:
            self.taken[headers["webhook-id"]] = message
        return Answer({}, self.status)
