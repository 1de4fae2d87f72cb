#!/usr/bin/env python3
"""Mesh's cryptography a second time, from docs/protocol.md alone: with libsodium (PyNaCl), argon2-cffi and hashlib.

check.py            envelope.json: each output follows from its inputs, and each envelope opens
check.py write      the same, but writes the outputs into envelope.json
check.py open FILE  opens what the Rust code made
check.py make       makes things for the Rust code to open, as JSON on stdout
"""

import base64, hashlib, hmac, json, os, random, sys, uuid
from datetime import datetime, timezone

from argon2.low_level import Type, hash_secret_raw
from nacl.bindings import crypto_scalarmult_base
from nacl.public import Box, PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "envelope.json")


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text, validate=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def number(value):
    """As ECMAScript writes a double."""
    value = float(value)
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    digits = repr(value)
    if "e" not in digits:
        return digits
    mantissa, exponent = digits.split("e")
    exponent = int(exponent)
    if -7 < exponent < 0:
        sign, mantissa = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
        return sign + "0." + "0" * (-exponent - 1) + mantissa.replace(".", "")
    return f"{mantissa}e{exponent:+d}"


def canonical(value):
    """RFC 8785."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def hkdf(secret, info):
    """HKDF-SHA256 without salt, 32 bytes."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def public(seed):
    return SigningKey(bytes.fromhex(seed)).verify_key.encode().hex()


def sign(seed, context, document):
    return SigningKey(bytes.fromhex(seed)).sign(context + b"\0" + document.encode()).signature.hex()


def verify(key, context, document, signature):
    VerifyKey(bytes.fromhex(key)).verify(context + b"\0" + document.encode(), bytes.fromhex(signature))


# Envelopes


def pad(body):
    size = 256
    while size < 4 + len(body):
        size *= 2
    assert size <= 262144
    return (len(body).to_bytes(4, "big") + body).ljust(size, b"\0")


def unpad(padded):
    length = int.from_bytes(padded[:4], "big")
    body = padded[4 : 4 + length]
    assert pad(body) == padded, "padding"
    return body


def nonce_of(content_key):
    return hashlib.sha256(b"mesh/nonce/v1\0" + content_key).digest()[:24]


def seal_key(content_key, reader_key, ephemeral):
    """crypto_box_seal, with a given ephemeral key."""
    reader = VerifyKey(bytes.fromhex(reader_key)).to_curve25519_public_key()
    point = crypto_scalarmult_base(ephemeral)
    nonce = hashlib.blake2b(point + reader.encode(), digest_size=24).digest()
    return b64(point + Box(PrivateKey(ephemeral), reader).encrypt(content_key, nonce).ciphertext)


def recipients(readers):
    lines = sorted(f"{reader['agent_id']} {public(reader['seed'])}\n" for reader in readers)
    return sha256("".join(lines).encode())


def hello(inputs):
    document = canonical(
        {
            "function": "open_session",
            "arguments": {"session_key": public(inputs["session_seed"]), "takeover": False},
            "mesh": inputs["draft"]["mesh"],
            "signed_at": inputs["hello_at"],
        }
    )
    identity = inputs["identity_seed"]
    return {"document": document, "signer": public(identity), "signature": sign(identity, b"mesh/call/v1", document)}


def seal(inputs):
    """All that follows from the inputs of an envelope."""
    draft, key = inputs["draft"], bytes.fromhex(inputs["content_key"])
    body = canonical(draft["body"])
    nonce = nonce_of(key)
    sealed = nonce + SecretBox(key).encrypt(pad(body.encode()), nonce).ciphertext
    tag_key = hkdf(bytes.fromhex(inputs["identity_seed"]), b"mesh/body-tag/v1")
    tagged = (draft["key"] or draft["id"]).encode() + b"\0" + body.encode()
    document = canonical(
        {
            "v": 1,
            "function": draft["function"],
            "arguments": {name: value for name, value in draft["arguments"].items() if value is not None},
            "mesh": draft["mesh"],
            "sender": draft["sender"],
            "id": draft["id"],
            "recipients": recipients(inputs["readers"]),
            "sent_at": draft["sent_at"],
            "body": sha256(sealed),
            "body_tag": hmac.new(tag_key, tagged, hashlib.sha256).hexdigest(),
        }
    )
    signer = inputs["session_seed"] or inputs["identity_seed"]
    envelope = {
        "v": 1,
        "document": document,
        "signer": public(signer),
        "signature": sign(signer, b"mesh/message/v1", document),
        "sealed": b64(sealed),
        "boxes": {
            reader["agent_id"]: seal_key(key, public(reader["seed"]), bytes.fromhex(reader["ephemeral"]))
            for reader in inputs["readers"]
        },
    }
    if inputs["session_seed"]:
        envelope["attestation"] = hello(inputs)
    return {"body": body, "nonce": nonce.hex(), "envelope": envelope}


def open_envelope(envelope, box, seed, sender_key):
    document = json.loads(envelope["document"])
    assert canonical(document) == envelope["document"], "canonical"
    verify(envelope["signer"], b"mesh/message/v1", envelope["document"], envelope["signature"])
    if "attestation" in envelope:
        attestation = envelope["attestation"]
        verify(attestation["signer"], b"mesh/call/v1", attestation["document"], attestation["signature"])
        said = json.loads(attestation["document"])
        assert attestation["signer"] == sender_key and said["arguments"]["session_key"] == envelope["signer"]
    else:
        assert envelope["signer"] == sender_key
    sealed = unb64(envelope["sealed"])
    assert sha256(sealed) == document["body"], "body"
    identity = SigningKey(bytes.fromhex(seed)).to_curve25519_private_key()
    key = SealedBox(identity).decrypt(unb64(box))
    assert sealed[:24] == nonce_of(key), "nonce"
    body = unpad(SecretBox(key).decrypt(sealed)).decode()
    assert canonical(json.loads(body)) == body, "canonical body"
    return json.loads(body)


# Identities under the account key, safety numbers, backups


def account_seed(key):
    data = bytes.fromhex(key[3:])
    assert hashlib.sha256(b"mc_" + data[:20]).digest()[:4] == data[20:]
    return data[:20]


def lock(key, plain, nonce):
    return nonce + SecretBox(key).encrypt(plain, nonce).ciphertext


def wrap(case):
    inside = canonical({"v": 1, "mesh": case["mesh"], "agent": case["agent"], "seed": case["seed"]})
    key = hkdf(account_seed(case["account_key"]), b"mesh/wrap/v1")
    return b64(lock(key, inside.encode(), bytes.fromhex(case["nonce"])))


def unwrap(case):
    key = hkdf(account_seed(case["account_key"]), b"mesh/wrap/v1")
    return json.loads(SecretBox(key).decrypt(unb64(case["wrapped"])))


def safety_number(mesh, one, other):
    keys = sorted([bytes.fromhex(one), bytes.fromhex(other)])
    about = b"mesh/safety-number/v1\0" + mesh.encode() + keys[0] + keys[1]
    digest = hashlib.sha512(about).digest()
    for _ in range(5199):
        digest = hashlib.sha512(digest + about).digest()
    groups = [int.from_bytes(digest[at : at + 5], "big") % 100000 for at in range(0, 60, 5)]
    return " ".join(f"{group:05d}" for group in groups)


def backup_key(passphrase, salt, memory, passes, lanes):
    return hash_secret_raw(passphrase.encode(), salt, passes, memory, lanes, 32, Type.ID)


def backup(case):
    salt = bytes.fromhex(case["salt"])
    key = backup_key(case["passphrase"], salt, 65536, 3, 4)
    locked = b64(lock(key, case["content"].encode(), bytes.fromhex(case["nonce"])))
    lines = [locked[at : at + 76] for at in range(0, len(locked), 76)]
    return "\n".join(["mesh backup 1", f"argon2id m=65536 t=3 p=4 salt={b64(salt)}", *lines, ""])


def restore(case):
    title, header, *lines = case["text"].splitlines()
    assert title == "mesh backup 1"
    words = header.split(" ")
    assert words[0] == "argon2id"
    values = dict(word.split("=", 1) for word in words[1:])
    key = backup_key(case["passphrase"], unb64(values["salt"]), int(values["m"]), int(values["t"]), int(values["p"]))
    return SecretBox(key).decrypt(unb64("".join(lines))).decode()


# The commands


def check(write):
    with open(VECTORS) as file:
        vectors = json.load(file)
    made = json.loads(json.dumps(vectors))
    for case in made["envelopes"]:
        case["outputs"] = seal(case["inputs"])
    for case in made["wraps"]:
        case["wrapped"] = wrap(case)
    for case in made["safety_numbers"]:
        case["number"] = safety_number(case["mesh"], case["one"], case["other"])
    for case in made["backups"]:
        case["text"] = backup(case)
    if write:
        with open(VECTORS, "w") as file:
            json.dump(made, file, indent=2, ensure_ascii=False)
            file.write("\n")
    else:
        assert made == vectors, "envelope.json is not what its inputs give"
    for case in made["envelopes"]:
        inputs, envelope = case["inputs"], case["outputs"]["envelope"]
        for reader in inputs["readers"]:
            box = envelope["boxes"][reader["agent_id"]]
            body = open_envelope(envelope, box, reader["seed"], public(inputs["identity_seed"]))
            assert body == inputs["draft"]["body"]
    opened({"wraps": made["wraps"], "backups": made["backups"]})


def opened(cases):
    for case in cases.get("envelopes", []):
        body = open_envelope(case["envelope"], case["envelope"]["box"], case["seed"], case["sender_key"])
        assert canonical(body) == canonical(case["body"])
    for case in cases.get("wraps", []):
        inside = unwrap(case)
        assert (inside["mesh"], inside["agent"], inside["seed"]) == (case["mesh"], case["agent"], case["seed"])
    for case in cases.get("safety_numbers", []):
        assert safety_number(case["mesh"], case["one"], case["other"]) == case["number"]
    for case in cases.get("backups", []):
        assert restore(case) == case["content"]


def random_text():
    ranges = [(0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    return "".join(chr(random.randint(*random.choice(ranges))) for _ in range(random.choice([0, 1, 80, 90, 3000])))


def make():
    envelopes, wraps, numbers = [], [], []
    for at in range(30):
        mesh, sender, friend = (str(uuid.uuid4()) for _ in range(3))
        identity, session, other = (os.urandom(32).hex() for _ in range(3))
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"message": random_text(), "data": [random_text(), random.random(), 10 ** random.randint(-30, 30), -1.5e-7, None]}
        inputs = {
            "identity_seed": identity,
            "session_seed": random.choice([session, None]),
            "hello_at": now,
            "content_key": os.urandom(32).hex(),
            "readers": [
                {"agent_id": agent_id, "seed": seed, "ephemeral": os.urandom(32).hex()}
                for agent_id, seed in [(sender, identity), (friend, other)]
            ],
            "draft": {
                "function": "send_message",
                "arguments": {"to": random_text()},
                "mesh": mesh,
                "sender": sender,
                "id": str(uuid.uuid4()),
                "key": None,
                "sent_at": now,
                "body": body,
            },
        }
        envelope = seal(inputs)["envelope"]
        envelope["box"] = envelope.pop("boxes")[friend]
        envelopes.append({"envelope": envelope, "seed": other, "sender_key": public(identity), "body": body})
        seed = os.urandom(20)
        account_key = "mc_" + (seed + hashlib.sha256(b"mc_" + seed).digest()[:4]).hex()
        case = {"account_key": account_key, "mesh": mesh, "agent": "backend", "seed": identity, "nonce": os.urandom(24).hex()}
        wraps.append({**case, "wrapped": wrap(case)})
        one, two = public(identity), public(other)
        numbers.append({"mesh": mesh, "one": one, "other": two, "number": safety_number(mesh, two, one)})
    case = {"passphrase": "größer als zwei Häuser", "content": random_text(), "salt": os.urandom(16).hex(), "nonce": os.urandom(24).hex()}
    backups = [{**case, "text": backup(case)}]
    json.dump({"envelopes": envelopes, "wraps": wraps, "safety_numbers": numbers, "backups": backups}, sys.stdout)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            check(write=False)
        case ["write"]:
            check(write=True)
        case ["open", path]:
            with open(path) as file:
                opened(json.load(file))
        case ["make"]:
            make()
        case _:
            sys.exit(__doc__)
