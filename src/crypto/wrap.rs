//! An agent's identity under the account key: how the account's other machines get it, and the server does not.

use super::{Secret, Signer, locked};
use crate::error::{Error, Result};
use data_encoding::BASE64;
use rand_core::{CryptoRngCore, OsRng};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use zeroize::Zeroizing;

const PURPOSE: &str = "mesh/wrap/v1";

/// An identity that came out of its wrapping.
pub struct Unwrapped {
    /// What the agent was called when it was wrapped.
    pub agent: String,
    pub identity: Signer,
}

/// What is wrapped; its members in the order of RFC 8785. The seed is never copied out of what is wiped.
#[derive(Serialize, Deserialize)]
struct Inside<'a> {
    agent: Cow<'a, str>,
    mesh: Cow<'a, str>,
    seed: &'a str,
    v: u64,
}

impl Secret {
    /// The identity of an agent, for this account key to open on another machine. `mesh` is the mesh's id; it and the
    /// agent's name go inside, so the server cannot hand it out for another agent.
    pub fn wrap_identity(&self, mesh: &str, agent: &str, identity: &Signer) -> String {
        self.wrap_with(&mut OsRng, mesh, agent, identity)
    }

    pub(super) fn wrap_with(
        &self,
        rng: &mut impl CryptoRngCore,
        mesh: &str,
        agent: &str,
        identity: &Signer,
    ) -> String {
        let seed = identity.seed();
        let (agent, mesh, seed) = (agent.into(), mesh.into(), seed.as_str());
        // Large enough not to move, which would leave a copy.
        let mut inside = Zeroizing::new(Vec::with_capacity(1024));
        serde_json::to_writer(
            &mut *inside,
            &Inside {
                agent,
                mesh,
                seed,
                v: 1,
            },
        )
        .expect("JSON");
        BASE64.encode(&locked::lock(rng, &self.derive(PURPOSE), &inside))
    }

    /// The identity in `wrapped`, which must be of an agent of this mesh; which one is for the caller to compare.
    ///
    /// ME409 when it is not this account key's, was changed, or is of another mesh.
    pub fn unwrap_identity(&self, mesh: &str, wrapped: &str) -> Result<Unwrapped> {
        let refuse = |why: &str| Error::new(409, format!("the kept identity {why}"));
        let inside = BASE64
            .decode(wrapped.as_bytes())
            .ok()
            .and_then(|locked| locked::unlock(&self.derive(PURPOSE), &locked))
            .ok_or_else(|| refuse("does not open with this account key"))?;
        let inside: Inside = serde_json::from_slice(&inside)
            .ok()
            .filter(|inside: &Inside| inside.v == 1)
            .ok_or_else(|| refuse("is of a form that this version does not know"))?;
        if inside.mesh != mesh {
            return Err(refuse("is of an agent in another mesh"));
        }
        Ok(Unwrapped {
            agent: inside.agent.into_owned(),
            identity: Signer::from_seed(inside.seed)?,
        })
    }
}
