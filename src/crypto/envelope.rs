//! The envelope: a call's text, sealed for its readers and signed by its sender.
//!
//! docs/protocol.md, "Envelope", says byte for byte what is made here.

mod body;
#[cfg(test)]
mod tests;
mod unopened;

use super::{Signer, hex_array, hkdf, open_signed, sha256_hex};
use crate::{
    canonical,
    error::{Error, Result},
};
use body::ContentKey;
use crypto_box::PublicKey;
use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use rand_core::{CryptoRngCore, OsRng};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

pub use unopened::Unopened;

const VERSION: u64 = 1;
const CONTEXT: &[u8] = b"mesh/message/v1\0";
/// How far two machines' clocks may be apart.
const SKEW: Duration = Duration::minutes(10);

/// One who may open an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    agent_id: String,
    key: String,
    point: PublicKey,
}

impl Reader {
    /// `key` is the agent's identity, 64 hex digits; ME400 when that is no key that a box can be made for.
    pub fn new(agent_id: &str, key: &str) -> Result<Reader> {
        let usable = hex_array(key)
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .filter(|key| !key.is_weak());
        let Some(usable) = usable else {
            return Err(Error::new(
                400,
                format!("the key of agent {agent_id} is no ed25519 key"),
            ));
        };
        Ok(Reader {
            agent_id: agent_id.to_owned(),
            key: key.to_owned(),
            point: PublicKey::from(usable.to_montgomery()),
        })
    }
}

/// What a call says, before it is sealed.
pub struct Draft<'a> {
    pub function: &'a str,
    /// The arguments that are signed and stay readable; nulls count as left out.
    pub arguments: &'a Map<String, Value>,
    pub mesh: &'a str,
    /// The sender's agent_id.
    pub sender: &'a str,
    /// From [`new_id`]; the same for all tries of one call.
    pub id: &'a str,
    /// What the caller named the call, if anything: tries with the same key are one call.
    pub key: Option<&'a str>,
    pub sent_at: OffsetDateTime,
    /// The sealed arguments by name.
    pub body: &'a Map<String, Value>,
}

/// Who signs: a session, vouched for by the agent's identity in its hello, or the identity itself.
pub struct Signing<'a> {
    pub identity: &'a Signer,
    pub session: Option<(&'a Signer, &'a Value)>,
}

/// What an envelope's sender signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub function: String,
    pub arguments: Map<String, Value>,
    pub mesh: String,
    pub sender: String,
    pub id: String,
    pub recipients: String,
    pub sent_at: OffsetDateTime,
    pub body: String,
    pub body_tag: String,
}

/// An envelope that was verified and opened.
#[derive(Clone, PartialEq)]
pub struct Opened {
    pub document: Document,
    pub body: Map<String, Value>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("document", &self.document)
            .finish_non_exhaustive()
    }
}

/// A new name for a message: a UUIDv7.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The envelope as it is sent, with a box for each of `readers`; there may be none yet.
///
/// ME413 when the body is too large; ME400 when an integer would lose digits, or a reader is named twice.
pub fn seal(draft: &Draft, signing: &Signing, readers: &[Reader]) -> Result<Value> {
    seal_with(&mut OsRng, draft, signing, readers)
}

pub(super) fn seal_with(
    rng: &mut impl CryptoRngCore,
    draft: &Draft,
    signing: &Signing,
    readers: &[Reader],
) -> Result<Value> {
    let readers = in_order(readers);
    if let Some(twice) = readers
        .windows(2)
        .find(|two| two[0].agent_id == two[1].agent_id)
    {
        let message = format!("agent {} is twice among the readers", twice[0].agent_id);
        return Err(Error::new(400, message));
    }
    let body = Value::Object(draft.body.clone());
    let arguments = Value::Object(given(draft.arguments));
    if !canonical::exact(&body) || !canonical::exact(&arguments) {
        return Err(Error::new(
            400,
            "a sealed message cannot hold integers beyond 2^53: write them as text",
        ));
    }
    let key = ContentKey::generate(rng);
    let sealed = key.seal(&body::pad(&Zeroizing::new(canonical::text(&body)))?);
    let document = canonical::text(&json!({
        "v": VERSION,
        "function": draft.function,
        "arguments": arguments,
        "mesh": draft.mesh,
        "sender": draft.sender,
        "id": draft.id,
        "recipients": hash_of(&readers),
        "sent_at": seconds(draft.sent_at),
        "body": sha256_hex(&sealed),
        "body_tag": body_tag(signing.identity, draft.key.unwrap_or(draft.id), draft.body),
    }));
    let boxes: Map<String, Value> = readers
        .iter()
        .map(|reader| {
            (
                reader.agent_id.clone(),
                key.boxed(rng, &reader.point).into(),
            )
        })
        .collect();
    let signer = signing.session.map_or(signing.identity, |(key, _)| key);
    let signature = signer.0.sign(&in_context(&document));
    let mut envelope = json!({
        "v": VERSION,
        "document": document,
        "signer": signer.public_key(),
        "signature": HEXLOWER.encode(&signature.to_bytes()),
        "sealed": BASE64.encode(&sealed),
        "boxes": boxes,
    });
    if let Some((_, hello)) = signing.session {
        envelope["attestation"] = hello.clone();
    }
    Ok(envelope)
}

/// What a document's `recipients` is for these readers.
pub fn recipients_hash(readers: &[Reader]) -> String {
    hash_of(&in_order(readers))
}

/// What tells the server that two calls say the same, and nothing else: `key` names the call.
pub fn body_tag(identity: &Signer, key: &str, body: &Map<String, Value>) -> String {
    let mut secret = Zeroizing::new([0u8; 32]);
    hkdf(
        identity.0.as_bytes(),
        &[],
        b"mesh/body-tag/v1",
        &mut *secret,
    );
    let body = Zeroizing::new(canonical::text(&Value::Object(body.clone())));
    let mac = Hmac::<Sha256>::new_from_slice(&*secret)
        .expect("an HMAC key may have any length")
        .chain_update(key)
        .chain_update([0])
        .chain_update(body.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// What the envelope says of itself, not yet verified: good only to learn who claims to have sent it.
pub fn document_of(envelope: &Value) -> std::result::Result<Document, Unopened> {
    Ok(Parts::of(envelope)?.document)
}

/// Checks form, signature, attestation and the body's hash, then opens the reader's box and the body. `sender_key` is the
/// identity of `document.sender` as this client knows it. That mesh, id and what is shown beside the envelope are what
/// was signed, and that it does not come twice, is for the caller to check.
pub fn open(
    envelope: &Value,
    identity: &Signer,
    sender_key: &str,
) -> std::result::Result<Opened, Unopened> {
    let parts = Parts::of(envelope)?;
    parts.verify(sender_key)?;
    let body = parts.content_key(identity)?.open(&parts.sealed)?;
    Ok(Opened {
        body: body::read(&body)?,
        document: parts.document,
    })
}

/// The `box` for one more reader of an envelope that `identity` can open.
pub fn rebox(
    envelope: &Value,
    identity: &Signer,
    sender_key: &str,
    reader: &Reader,
) -> std::result::Result<String, Unopened> {
    let parts = Parts::of(envelope)?;
    parts.verify(sender_key)?;
    let key = parts.content_key(identity)?;
    // A box that opens nothing must not be handed on.
    body::read(&key.open(&parts.sealed)?)?;
    Ok(key.boxed(&mut OsRng, &reader.point))
}

/// An envelope taken apart: its form is right, and nothing else is known.
struct Parts<'a> {
    text: &'a str,
    document: Document,
    signer: &'a str,
    signature: Signature,
    attestation: Option<&'a Value>,
    sealed: Vec<u8>,
    own_box: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(envelope: &'a Value) -> std::result::Result<Parts<'a>, Unopened> {
        let members = envelope
            .as_object()
            .ok_or_else(|| malformed("it is no object"))?;
        if members.get("v") != Some(&json!(VERSION)) {
            return Err(Unopened::Version);
        }
        const KNOWN: [&str; 8] = [
            "v",
            "document",
            "signer",
            "signature",
            "attestation",
            "sealed",
            "box",
            "boxes",
        ];
        if let Some(name) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(malformed(format!("{name:?} is no part of it")));
        }
        let given = |name: &str| members.get(name).filter(|value| !value.is_null());
        let text = |name: &str| {
            given(name)
                .and_then(Value::as_str)
                .ok_or_else(|| malformed(format!("the text {name} is missing")))
        };
        let (document, signer) = (text("document")?, text("signer")?);
        let signature = hex_array(text("signature")?)
            .ok_or_else(|| malformed("the signature is not 128 lower hex digits"))?;
        let sealed = BASE64
            .decode(text("sealed")?.as_bytes())
            .map_err(|_| malformed("the sealed body is no base64"))?;
        Ok(Parts {
            text: document,
            document: Document::read(document)?,
            signer,
            signature: Signature::from_bytes(&signature),
            attestation: given("attestation"),
            sealed,
            own_box: match given("box") {
                Some(own) => Some(
                    own.as_str()
                        .ok_or_else(|| malformed("the box is no text"))?,
                ),
                None => None,
            },
        })
    }

    fn verify(&self, sender_key: &str) -> std::result::Result<(), Unopened> {
        match self.attestation {
            Some(hello) => self.check_attestation(hello, sender_key)?,
            None if self.signer != sender_key => return Err(Unopened::SignedBy),
            None => {}
        }
        let key = hex_array(self.signer)
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .ok_or_else(|| malformed("the signer is no ed25519 key"))?;
        key.verify_strict(&in_context(self.text), &self.signature)
            .map_err(|_| Unopened::Signature)?;
        if sha256_hex(&self.sealed) != self.document.body {
            return Err(Unopened::Changed);
        }
        Ok(())
    }

    /// The identity vouches for the session key that signed, in this mesh, and did so by then.
    fn check_attestation(
        &self,
        hello: &Value,
        sender_key: &str,
    ) -> std::result::Result<(), Unopened> {
        let refuse = |why: &str| Err(Unopened::Attestation(why.to_owned()));
        let (said, by) = open_signed(hello).map_err(Unopened::Attestation)?;
        if by != sender_key {
            return Err(Unopened::SignedBy);
        }
        if said["function"] != "open_session" || said["arguments"]["session_key"] != self.signer {
            return refuse("it is for another session");
        }
        if said["mesh"] != *self.document.mesh {
            return refuse("it is for another mesh");
        }
        let signed_at = said["signed_at"]
            .as_str()
            .and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
        match signed_at {
            None => refuse("it has no time"),
            Some(at) if at > self.document.sent_at + SKEW => {
                refuse("it is younger than the message")
            }
            Some(_) => Ok(()),
        }
    }

    fn content_key(&self, identity: &Signer) -> std::result::Result<ContentKey, Unopened> {
        let own = self.own_box.ok_or(Unopened::NoBox)?;
        let own = BASE64.decode(own.as_bytes()).map_err(|_| Unopened::Box)?;
        ContentKey::unbox(&own, identity).ok_or(Unopened::Box)
    }
}

impl Document {
    /// From its canonical text, with just the members it must have.
    fn read(text: &str) -> std::result::Result<Document, Unopened> {
        let value: Value =
            serde_json::from_str(text).map_err(|_| malformed("its document is no JSON"))?;
        // Also rules out doubled members, which two readers could understand differently.
        if canonical::text(&value) != text {
            return Err(malformed("its document is not in canonical form"));
        }
        let Value::Object(mut members) = value else {
            return Err(malformed("its document is no object"));
        };
        if members.remove("v") != Some(json!(VERSION)) {
            return Err(Unopened::Version);
        }
        let mut take = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(malformed(format!("its document lacks the text {name}"))),
        };
        let document = Document {
            function: take("function")?,
            mesh: take("mesh")?,
            sender: take("sender")?,
            id: take("id")?,
            recipients: take("recipients")?,
            sent_at: moment(&take("sent_at")?)?,
            body: take("body")?,
            body_tag: take("body_tag")?,
            arguments: match members.remove("arguments") {
                Some(Value::Object(arguments)) => arguments,
                _ => return Err(malformed("its document lacks the arguments")),
            },
        };
        match members.keys().next() {
            Some(name) => Err(malformed(format!("{name:?} is no part of its document"))),
            None => Ok(document),
        }
    }
}

fn malformed(why: impl Into<String>) -> Unopened {
    Unopened::Malformed(why.into())
}

fn in_context(document: &str) -> Vec<u8> {
    [CONTEXT, document.as_bytes()].concat()
}

fn in_order(readers: &[Reader]) -> Vec<&Reader> {
    let mut sorted: Vec<_> = readers.iter().collect();
    sorted.sort_by(|a, b| a.agent_id.cmp(&b.agent_id));
    sorted
}

fn hash_of(sorted: &[&Reader]) -> String {
    let lines: String = sorted
        .iter()
        .map(|reader| format!("{} {}\n", reader.agent_id, reader.key))
        .collect();
    sha256_hex(lines.as_bytes())
}

fn given(arguments: &Map<String, Value>) -> Map<String, Value> {
    let present = arguments.iter().filter(|(_, value)| !value.is_null());
    present
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// As a document says a time: UTC, whole seconds.
fn seconds(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC)
        .replace_nanosecond(0)
        .expect("0 is a valid nanosecond")
        .format(&Rfc3339)
        .expect("the present year has four digits")
}

fn moment(text: &str) -> std::result::Result<OffsetDateTime, Unopened> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .filter(|at| seconds(*at) == text)
        .ok_or_else(|| malformed("its sent_at is no time in UTC seconds"))
}
