//! What a relay says over a socket.

use crate::error::{Error, Result};
use serde_json::{Map, Value};

pub enum Frame {
    Welcome,
    Push(Value),
    News(Value),
    Ended(Error),
    Answer(u64, Result<Value>),
    Other,
}

/// One text frame; `Other` for what this version does not know.
pub fn read(text: &str) -> Frame {
    let Ok(Value::Object(mut frame)) = serde_json::from_str(text) else {
        return Frame::Other;
    };
    let error = |value: Option<Value>| {
        value
            .and_then(|v| serde_json::from_value(v).ok())
            .unwrap_or_else(|| Error::internal("the relay reported an error that cannot be read"))
    };
    match frame.get("type").and_then(Value::as_str) {
        Some("welcome") => Frame::Welcome,
        Some("push") => pushed(frame).map_or(Frame::Other, Frame::Push),
        Some("news") => frame.remove("news").map_or(Frame::Other, Frame::News),
        Some("ended") => Frame::Ended(error(frame.remove("error"))),
        Some(_) => Frame::Other,
        None => match (
            frame.get("id").and_then(Value::as_u64),
            frame.remove("result"),
        ) {
            (Some(id), Some(result)) => Frame::Answer(id, Ok(result)),
            (Some(id), None) => Frame::Answer(id, Err(error(frame.remove("error")))),
            (None, _) => Frame::Other,
        },
    }
}

/// A pushed message, with the box that stands beside it in its envelope: the message is the same for all its readers.
fn pushed(mut frame: Map<String, Value>) -> Option<Value> {
    let mut message = frame.remove("message")?;
    let own = frame.remove("box").filter(|own| !own.is_null());
    let envelope = message.get_mut("envelope").and_then(Value::as_object_mut);
    if let (Some(own), Some(envelope)) = (own, envelope) {
        envelope.insert("box".into(), own);
    }
    Some(message)
}
