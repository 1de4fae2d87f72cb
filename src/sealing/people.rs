//! Whose key is whose: what the relay says, checked against the owner's certificates and against what was seen before.

use super::{Exchange, Me, Sealing, settled::Settled};
use crate::{
    crypto,
    error::{Error, Result},
    pins::{Agent, Mesh},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

impl Sealing {
    /// Who this is, asked once and pinned; None outside of a mesh. ME409 when owner or mode are not what was seen before.
    pub(super) async fn me(&self, exchange: &impl Exchange) -> Result<Option<Arc<Me>>> {
        let known = || {
            self.me
                .lock()
                .expect("nothing panics under this lock")
                .clone()
        };
        if let Some(me) = known() {
            return Ok(me);
        }
        let who = exchange.call("whoami", &Map::new()).await?;
        let me = self.agreed(&who)?.map(Arc::new);
        *self.me.lock().expect("nothing panics under this lock") = Some(me.clone());
        Ok(me)
    }

    /// Who this is by the relay's word, pinned; None outside of a mesh.
    fn agreed(&self, who: &Value) -> Result<Option<Me>> {
        let text = |name: &str| who[name].as_str().unwrap_or_default().to_owned();
        let (mesh, agent_id) = (text("mesh_id"), text("agent_id"));
        self.must_be_wanted(&mesh)?;
        if mesh.is_empty() || agent_id.is_empty() {
            let is_known = self.wanted.is_some() && !self.keys.is_bare;
            return match is_known || self.knows_sealed(&mesh)? {
                true => Err(
                    Error::new(409, "the relay says that this key is no agent's here")
                        .hint("mesh doctor"),
                ),
                false => Ok(None),
            };
        }
        let is_sealed = self.pin(&mesh, who)?;
        Ok(Some(Me {
            settled: Settled::open(&self.home, &agent_id),
            mesh,
            agent_id,
            agent: text("agent"),
            is_account: who["kind"] == "account",
            is_sealed,
        }))
    }

    /// ME409 when `mesh`, by id, is not the one that is wanted, by id or name, as far as this machine knows.
    pub fn must_be_wanted(&self, mesh: &str) -> Result<()> {
        let Some(wanted) = &self.wanted else {
            return Ok(());
        };
        let name = wanted.rsplit('/').next().unwrap_or(wanted);
        let known = match uuid::Uuid::parse_str(wanted) {
            Ok(id) => vec![id.to_string()],
            Err(_) => self.pins.called(name)?,
        };
        if known.is_empty() || known.iter().any(|id| id == mesh) {
            return Ok(());
        }
        let message = format!(
            "the relay says that {wanted} is another mesh than this machine has seen, or none"
        );
        Err(Error::new(409, message).hint("mesh doctor"))
    }

    /// Whether this machine knows a mesh, by id, to be sealed.
    pub fn knows_sealed(&self, mesh: &str) -> Result<bool> {
        Ok(self.pins.mesh(mesh)?.sealed)
    }

    /// Pins the mesh as whoami describes it, or finds that it is another one than before. Whether it is sealed.
    fn pin(&self, mesh_id: &str, who: &Value) -> Result<bool> {
        let own_key = self.keys.signer.public_key();
        let is_ours = who["kind"] == "account" && who["account"] == who["owner"];
        let said = who["owner_key"].as_str().unwrap_or_default();
        let says_sealed = who["mode"] == "sealed";
        let mut is_new = false;
        let sealed = self.pins.update(mesh_id, |mesh| {
            mesh.name = who["mesh"].as_str().unwrap_or_default().to_owned();
            // Of one's own mesh no relay needs to be believed.
            let owner_key = if is_ours { &own_key } else { said };
            let was_open = !mesh.owner_key.is_empty();
            if !was_open {
                owner_key.clone_into(&mut mesh.owner_key);
                is_new = says_sealed && !is_ours;
            } else if (mesh.sealed || says_sealed) && !said.is_empty() && mesh.owner_key != said {
                return Err(mesh.another_owner(said));
            }
            if says_sealed && !mesh.sealed {
                let now = OffsetDateTime::now_utc();
                let since = time_of(&who["mode_at"]).unwrap_or(now).min(now);
                mesh.sealed = true;
                // Only who saw it open believes that anything in it was ever plain.
                mesh.sealed_at = was_open.then_some(since);
            } else if mesh.sealed && !says_sealed {
                let message = format!(
                    "{} was sealed when this machine saw it last, and the relay now says it is open: what you send would be readable",
                    mesh.name
                );
                return Err(Error::new(409, message).hint("mesh trust --mode"));
            }
            Ok(mesh.sealed)
        })?;
        if is_new {
            eprintln!(
                "note: this machine takes {} for the key of {}, who owns {}: ask whether it is",
                said.get(..12).unwrap_or(said),
                who["owner"].as_str().unwrap_or("somebody"),
                who["mesh"].as_str().unwrap_or("this mesh")
            );
        }
        Ok(sealed)
    }

    /// Pins those of these agents whom this machine has not seen yet, as far as the relay's word stands its checks.
    pub(super) async fn meet(
        &self,
        exchange: &impl Exchange,
        me: &Me,
        agent_ids: BTreeSet<String>,
    ) -> Result<()> {
        let mesh = self.mesh(me)?;
        let is_new = |id: &&String| **id != me.agent_id && !mesh.agents.contains_key(*id);
        let unknown: Vec<_> = agent_ids.iter().filter(is_new).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let arguments = Map::from_iter([("agent_ids".to_owned(), json!(unknown))]);
        let rows = exchange.call("list_identities", &arguments).await?;
        for row in rows.as_array().into_iter().flatten() {
            let is_asked = row["agent_id"]
                .as_str()
                .is_some_and(|id| unknown.iter().any(|u| *u == id));
            if is_asked {
                // Why not is said when the key is needed.
                let _ = self.introduce(me, row);
            }
        }
        Ok(())
    }

    /// The key of an agent as `row` (`agent_id`, `agent`, `identity_key`, `chain`, perhaps `removed`) has it: the pinned one,
    /// or one pinned now because the owner certified it. ME409 when it has changed or is a former agent's, whose messages
    /// can be read from then on; ME403 when nobody vouches for it.
    pub(super) fn introduce(&self, me: &Me, row: &Value) -> Result<Agent> {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let (id, name, key) = (text("agent_id"), text("agent"), text("identity_key"));
        let mesh = self.mesh(me)?;
        if id == me.agent_id {
            return match key == self.keys.signer.public_key() {
                true => Ok(agent(&me.agent, key)),
                false => Err(Error::new(
                    409,
                    format!(
                        "the relay has another key for {} than this machine",
                        me.agent
                    ),
                )
                .hint(format!("mesh setup {}", me.agent))),
            };
        }
        if let Some(pinned) = mesh.agents.get(id) {
            return match pinned.key == key && !pinned.former {
                true => Ok(pinned.clone()),
                false => Err(changed(&pinned.name)),
            };
        }
        certified(&mesh, &me.mesh, name, key, &row["chain"]).map_err(|why| {
            let message = format!("nobody vouches for the key of {name}: {why}");
            Error::new(403, message).hint("mesh peers")
        })?;
        let former = row["removed"] == true;
        let namesake = mesh.namesake(id, name);
        if !former && namesake.is_some_and(|other| other.key != key) {
            return Err(changed(name));
        }
        let new = Agent {
            former,
            ..agent(name, key)
        };
        self.pins
            .update(&me.mesh, |mesh| {
                let pinned = mesh
                    .agents
                    .entry(id.to_owned())
                    .or_insert_with(|| new.clone());
                Ok(pinned.clone())
            })
            .and_then(|pinned| match pinned.key == key && !pinned.former {
                true => Ok(pinned),
                false => Err(changed(name)),
            })
    }
}

/// ME409: this machine has seen another key of that agent.
pub fn changed(name: &str) -> Error {
    Error::new(409, format!("the key of {name} changed")).hint(format!("mesh trust {name}"))
}

fn agent(name: &str, key: &str) -> Agent {
    Agent {
        name: name.to_owned(),
        key: key.to_owned(),
        seen_at: OffsetDateTime::now_utc(),
        former: false,
    }
}

/// Whether `chain` leads from an owner of the mesh to `key` for an agent called `name`; an owner needs no chain. Or why not.
pub fn certified(
    mesh: &Mesh,
    mesh_id: &str,
    name: &str,
    key: &str,
    chain: &Value,
) -> std::result::Result<(), String> {
    if key.is_empty() {
        return Err("there is none".into());
    }
    if mesh.is_owner(key) {
        return Ok(());
    }
    if chain.as_array().is_none_or(Vec::is_empty) {
        return Err("there is no certificate".into());
    }
    let owner = crypto::verify_chain(chain)?;
    if !mesh.is_owner(&owner) {
        return Err(format!(
            "its first signer is {}, not the owner",
            owner.get(..12).unwrap_or(&owner)
        ));
    }
    let links = chain.as_array().into_iter().flatten();
    let documents: Vec<Value> = links
        .filter_map(|link| serde_json::from_str(link["document"].as_str()?).ok())
        .collect();
    if documents.iter().any(|d| d["mesh"] != mesh_id) {
        return Err("it is for another mesh".into());
    }
    if !documents
        .iter()
        .any(|d| d["arguments"]["identity_key"] == key)
    {
        return Err("it is for another key".into());
    }
    let certified = documents
        .iter()
        .find_map(|d| d["arguments"]["agent"].as_str());
    if !certified.is_some_and(|certified| is_called(certified, name)) {
        return Err(format!(
            "it is for {}",
            certified.unwrap_or("no agent by name")
        ));
    }
    Ok(())
}

/// Whether an agent certified as `certified` may be called `name`: further ones that join with one invite are name-2, name-3.
fn is_called(certified: &str, name: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let certified = certified.trim().to_ascii_lowercase();
    name == certified
        || name
            .strip_prefix(&certified)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(is_number)
}

pub fn time_of(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}
