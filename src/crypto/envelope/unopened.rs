//! Why an envelope was not opened.

use std::fmt;

/// Why an envelope was not opened, for a person to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Made by another version of Mesh.
    Version,
    /// It does not have the form of an envelope, and how.
    Malformed(String),
    /// Neither the sender's identity nor a session that it vouches for has signed it.
    SignedBy,
    /// The session that signed is not vouched for, and why.
    Attestation(String),
    /// The signature does not fit what it is over.
    Signature,
    /// The sealed body is not the one that was signed.
    Changed,
    /// It was not sealed to this agent.
    NoBox,
    /// The box does not open with this agent's identity.
    Box,
    /// The body opens to what no client makes, or not at all; how.
    Body(&'static str),
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unopened::Version => f.write_str("it was sealed by another version of Mesh"),
            Unopened::Malformed(why) => write!(f, "it is no envelope: {why}"),
            Unopened::SignedBy => f.write_str("it is signed by a key that is not the sender's"),
            Unopened::Attestation(why) => {
                write!(f, "the sender's window is not vouched for: {why}")
            }
            Unopened::Signature => f.write_str("the signature does not fit: it was changed"),
            Unopened::Changed => f.write_str("the sealed text is not the one that was signed"),
            Unopened::NoBox => f.write_str("it was not sealed to this agent"),
            Unopened::Box => f.write_str("its key is not sealed to this agent's identity"),
            Unopened::Body(why) => write!(f, "the sealed text {why}"),
        }
    }
}
