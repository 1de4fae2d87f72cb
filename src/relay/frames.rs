//! The frames of a WebSocket: reading what a client sends, writing what it gets.

use super::calls::Answer;
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

const ID_BYTES: usize = 128;
const RECEIPTS: usize = 1024;

/// What a client says. An `id` is the JSON text of a number or a string.
pub enum Frame {
    Auth {
        token: String,
    },
    Call {
        id: String,
        function: String,
        arguments: String,
        mesh: Option<String>,
    },
    Cancel {
        id: String,
    },
    Receipt {
        ids: Vec<Uuid>,
    },
}

#[derive(Deserialize)]
struct Raw {
    id: Option<Box<RawValue>>,
    call: Option<String>,
    args: Option<Box<RawValue>>,
    mesh: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    token: Option<String>,
    ids: Option<Vec<Uuid>>,
}

/// Reads a frame; on error also the id to answer under, `null` when there is none.
pub fn parse(text: &str) -> std::result::Result<Frame, Box<(String, Error)>> {
    // An array would be taken for the fields in order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Box::new((
            null(),
            Error::new(400, "a frame is one JSON object"),
        )));
    }
    let raw: Raw = serde_json::from_str(text).map_err(|e| {
        (
            null(),
            Error::new(400, format!("the frame is not valid: {e}")),
        )
    })?;
    let id = id(raw.id.as_deref()).map_err(|error| (null(), error))?;
    let shown = id.clone().unwrap_or_else(null);
    read(raw, id).map_err(|error| Box::new((shown, error)))
}

fn read(raw: Raw, id: Option<String>) -> Result<Frame> {
    let need = |what: &str| Error::new(400, format!("the frame has no {what}"));
    if let Some(function) = raw.call {
        let mesh = raw.mesh;
        if function.contains('\0') || mesh.as_deref().is_some_and(|mesh| mesh.contains('\0')) {
            return Err(Error::new(400, "the frame contains a NUL character"));
        }
        let arguments = raw
            .args
            .map_or_else(|| "{}".to_owned(), |args| args.get().to_owned());
        return Ok(Frame::Call {
            id: id.ok_or_else(|| need("id"))?,
            function,
            arguments,
            mesh,
        });
    }
    match raw.kind.as_deref() {
        Some("auth") => Ok(Frame::Auth {
            token: raw.token.ok_or_else(|| need("token"))?,
        }),
        Some("cancel") => Ok(Frame::Cancel {
            id: id.ok_or_else(|| need("id"))?,
        }),
        Some("receipt") => match raw.ids {
            Some(ids) if ids.len() > RECEIPTS => {
                Err(Error::new(400, "more than 1024 receipts in a frame"))
            }
            ids => Ok(Frame::Receipt {
                ids: ids.ok_or_else(|| need("ids"))?,
            }),
        },
        Some(_) => Err(Error::new(
            400,
            "the frame's type is none of auth, cancel, receipt",
        )),
        None => Err(Error::new(400, "the frame has neither call nor type")),
    }
}

fn id(raw: Option<&RawValue>) -> Result<Option<String>> {
    let Some(text) = raw.map(RawValue::get).filter(|text| *text != "null") else {
        return Ok(None);
    };
    let is_plain = text.starts_with(['"', '-']) || text.starts_with(|c: char| c.is_ascii_digit());
    if !is_plain || text.len() > ID_BYTES {
        return Err(Error::new(
            400,
            "an id is a number or a string of at most 128 bytes",
        ));
    }
    Ok(Some(text.to_owned()))
}

fn null() -> String {
    "null".to_owned()
}

pub fn welcome(catalogue: &str) -> String {
    json!({ "type": "welcome", "version": env!("CARGO_PKG_VERSION"), "catalogue": catalogue })
        .to_string()
}

pub fn ended(error: &Error) -> String {
    json!({ "type": "ended", "error": error }).to_string()
}

/// A message for one session, with its agent's box beside it where that is not in the message.
pub fn push(message: &RawValue, own_box: Option<&str>) -> String {
    let message = message.get();
    match own_box {
        None => format!(r#"{{"type":"push","message":{message}}}"#),
        Some(own) => format!(
            r#"{{"type":"push","message":{message},"box":{}}}"#,
            json!(own)
        ),
    }
}

/// The answer to the call with this id.
pub fn answer(id: &str, answer: &Answer) -> String {
    let field = if answer.status == 200 {
        "result"
    } else {
        "error"
    };
    format!(r#"{{"id":{id},"{field}":{}}}"#, answer.body.get())
}

#[cfg(test)]
mod tests {
    use super::{Frame, parse};

    #[test]
    fn a_call_keeps_its_id_as_it_was_written() {
        for id in ["7", "-1", "1.50", "\"a \\u0041\""] {
            let text = format!(r#"{{"id":{id},"call":"wait","args":{{"a":[1]}}}}"#);
            let Ok(Frame::Call {
                id: got,
                function,
                arguments,
                mesh,
            }) = parse(&text)
            else {
                panic!("{id}")
            };
            assert_eq!(
                (got.as_str(), function.as_str(), arguments.as_str()),
                (id, "wait", r#"{"a":[1]}"#)
            );
            assert_eq!(mesh, None);
        }
    }

    #[test]
    fn what_is_wrong_is_answered_under_the_id_where_there_is_one() {
        for (text, id) in [
            ("", "null"),
            ("[]", "null"),
            (r#"[1,"wait",{},"proj",null,null,null]"#, "null"),
            ("null", "null"),
            ("{}", "null"),
            (r#"{"call":"wait"}"#, "null"),
            (r#"{"id":{},"call":"wait"}"#, "null"),
            (r#"{"id":3}"#, "3"),
            (r#"{"id":3,"type":"push"}"#, "3"),
            (r#"{"id":3,"call":"a\u0000"}"#, "3"),
            (r#"{"type":"receipt","ids":["x"]}"#, "null"),
            (r#"{"type":"auth"}"#, "null"),
        ] {
            let Err((got, error)) = parse(text).map_err(|refused| *refused) else {
                panic!("{text}")
            };
            assert_eq!((got.as_str(), error.status()), (id, 400), "{text}");
        }
    }
}
