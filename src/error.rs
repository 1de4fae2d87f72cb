//! The one error object of Mesh: `{"code","message","hint","data"?}` everywhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What went wrong, in the words of the API.
///
/// `code` is `ME` and an HTTP status; `hint` is a command that can be run, or empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Error {
    pub code: String,
    pub message: String,
    #[serde(default)]
    pub hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with the HTTP status `status`, 400 to 599.
    pub fn new(status: u16, message: impl Into<String>) -> Error {
        Error {
            code: format!("ME{status}"),
            message: message.into(),
            hint: String::new(),
            data: None,
        }
    }

    /// A wrong command line (exit code 2).
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(400, message)
    }

    /// Something that is not there for now: a relay, a database, a keychain (exit code 3).
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(503, message)
    }

    /// A bug or a broken machine (exit code 70).
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(500, message)
    }

    /// The same error with the command to run next.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }

    /// The HTTP status in the code; 500 when the code is not one of ours.
    pub fn status(&self) -> u16 {
        self.code
            .strip_prefix("ME")
            .and_then(|s| s.parse().ok())
            .unwrap_or(500)
    }

    /// The exit code of a command that ends so: 1 refused, 2 usage, 3 unavailable, 70 bug.
    pub fn exit_code(&self) -> u8 {
        match self.status() {
            400 => 2,
            503 => 3,
            401..=499 => 1,
            _ => 70,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        Error::internal(e.to_string())
    }
}
