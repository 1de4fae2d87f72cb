//! What this machine has taken of an agent's mail, and what it acknowledged: so that nothing is believed twice.
//!
//! A log of lines beside the home's other files, read again where another process wrote to it, and cut when it is long:
//! `took <claim> <sender> <queue> <id> <occurrence> <message id>`, `gave <message id>` back and `acknowledged <claim>`; `-` is none.

use crate::{
    catalogue::Function,
    error::Result,
    home::{self, Home},
};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Mutex,
    time::Instant,
};

/// Lines that are kept, and how many there may be before the older ones go.
const KEPT: usize = 4_096;
const MOST: usize = 2 * KEPT;
/// How many of a sender's last messages are told apart by when they came.
const STEPS: usize = 64;

pub struct Settled {
    path: PathBuf,
    known: Mutex<Known>,
}

/// A message in the inbox.
#[derive(Clone)]
pub struct Frame {
    pub claim: String,
    pub sender: String,
    /// What its sender's mail comes in order in.
    pub queue: String,
    /// Its sender's.
    pub id: String,
    /// Which time of a schedule it is.
    pub occurrence: String,
    /// The server's: the same, unless it was scheduled.
    pub message_id: String,
    /// How much was known when it was asked for: another process may have acknowledged it since.
    pub asked: usize,
    /// When it came.
    pub at: Instant,
}

#[derive(Default)]
struct Known {
    /// How far the log was read.
    size: u64,
    lines: usize,
    /// What a sender sent: under which id it came, and the line that said so first.
    messages: HashMap<(String, String), (String, usize)>,
    claims: HashMap<String, Vec<String>>,
    /// With the line that says so; 0 for what this process acknowledged itself.
    acknowledged: HashMap<String, usize>,
    /// Of a sender, by queue.
    youngest: HashMap<(String, String), Youngest>,
}

/// The youngest ids, by when they came: each is younger than those before it. What another process took came before all else.
#[derive(Default)]
struct Youngest(VecDeque<(Option<Instant>, String)>);

/// The messages that a call gave back.
pub fn given_back<'a>(function: &Function, arguments: &'a Map<String, Value>) -> Vec<&'a str> {
    let given = function
        .arguments
        .iter()
        .filter(|a| a.kind == "mesh.given_back");
    let lists = given.filter_map(|a| arguments.get(&a.name)?.as_array());
    lists.flatten().filter_map(Value::as_str).collect()
}

impl Settled {
    /// Of one agent. Reads nothing yet.
    pub fn open(home: &Home, agent_id: &str) -> Settled {
        let name: String = agent_id
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        Settled {
            path: home.root.join("settled").join(name),
            known: Mutex::default(),
        }
    }

    /// Takes note of a message. Err says why it must not be believed; Ok, what was sent after it and came before.
    pub fn take(&self, frame: &Frame) -> std::result::Result<Option<String>, String> {
        let mut known = self.known.lock().expect("nothing panics under this lock");
        let broken = |e: crate::error::Error| format!("what was read before is not known: {e}");
        let mut file = self.catch_up(&mut known).map_err(broken)?;
        let name = (frame.id.clone(), frame.occurrence.clone());
        let before = known.messages.get(&name);
        // While calls are under way, one may show what another one took: a question its answer, which a wait took. What came
        // before a call was made is no news to it.
        let is_new = before.is_some_and(|(_, line)| *line > frame.asked);
        let done = known.acknowledged.get(&frame.message_id);
        if done.is_some_and(|line| *line <= frame.asked) && !is_new {
            return Err("it is a replay: it was read and acknowledged before".into());
        }
        // The words of a line: none may make up another.
        let words = [
            &frame.claim,
            &frame.sender,
            &frame.queue,
            &frame.id,
            &frame.occurrence,
            &frame.message_id,
        ];
        if words
            .iter()
            .any(|word| word.is_empty() || word.contains(char::is_whitespace))
        {
            return Err("it is a replay, or none can tell: its id is none".into());
        }
        if before.is_some_and(|(before, _)| *before != frame.message_id) {
            return Err("it is a replay: it came before under another id".into());
        }
        let late = match before {
            None if frame.occurrence == "-" => known.sent_later(frame),
            _ => None,
        };
        let line = format!(
            "took {} {} {} {} {} {}\n",
            frame.claim, frame.sender, frame.queue, frame.id, frame.occurrence, frame.message_id
        );
        self.write(&mut known, &mut file, &line, Some(frame.at))
            .map_err(broken)?;
        Ok(late)
    }

    /// Whether a message came under the id its sender gave it.
    pub fn knows(&self, id: &str) -> bool {
        let mut known = self.known.lock().expect("nothing panics under this lock");
        let _ = self.catch_up(&mut known);
        known
            .messages
            .contains_key(&(id.to_owned(), "-".to_owned()))
    }

    /// How much is known now, for [`Frame::asked`].
    pub fn mark(&self) -> Result<usize> {
        let mut known = self.known.lock().expect("nothing panics under this lock");
        self.catch_up(&mut known)?;
        Ok(known.lines)
    }

    /// What was taken under `claim` is done with.
    pub fn acknowledge(&self, claim: &str) -> Result<()> {
        let mut known = self.known.lock().expect("nothing panics under this lock");
        let mut file = self.catch_up(&mut known)?;
        let Some(ids) = known.claims.get(claim).cloned() else {
            return Ok(());
        };
        let line = format!("acknowledged {claim}\n");
        self.write(&mut known, &mut file, &line, None)?;
        known.acknowledged.extend(ids.into_iter().map(|id| (id, 0)));
        Ok(())
    }

    /// What its agent gave back was not acknowledged, and may come again.
    pub fn give_back(&self, ids: &[&str]) -> Result<()> {
        let mut known = self.known.lock().expect("nothing panics under this lock");
        let mut file = self.catch_up(&mut known)?;
        let is_held = |id: &&&str| known.claims.values().flatten().any(|held| held == **id);
        let lines: Vec<String> = ids
            .iter()
            .filter(is_held)
            .map(|id| format!("gave {id}\n"))
            .collect();
        lines
            .iter()
            .try_for_each(|line| self.write(&mut known, &mut file, line, None))
    }

    /// Reads what was written since, and returns the log, locked.
    fn catch_up(&self, known: &mut Known) -> Result<File> {
        let failed = |e| home::at(&self.path, e);
        home::private_directory(self.path.parent().unwrap_or(&self.path))?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size < known.size {
            *known = Known::default();
        }
        file.seek(SeekFrom::Start(known.size)).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        text.lines().for_each(|line| known.learn(line, None));
        known.size = size;
        Ok(file)
    }

    /// Writes a line of what came at that time, if it came.
    fn write(
        &self,
        known: &mut Known,
        file: &mut File,
        line: &str,
        at: Option<Instant>,
    ) -> Result<()> {
        let failed = |e| home::at(&self.path, e);
        file.write_all(line.as_bytes()).map_err(failed)?;
        known.learn(line.trim_end(), at);
        known.size += line.len() as u64;
        if known.lines <= MOST {
            return Ok(());
        }
        let text = fs::read_to_string(&self.path).map_err(failed)?;
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines[lines.len().saturating_sub(KEPT)..].join("\n") + "\n";
        // In place: another process may wait for the lock on this very file.
        file.set_len(0).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(kept.as_bytes()).map_err(failed)?;
        let youngest = std::mem::take(&mut known.youngest);
        *known = Known::default();
        kept.lines().for_each(|line| known.learn(line, None));
        known.youngest = youngest;
        known.size = kept.len() as u64;
        Ok(())
    }
}

impl Known {
    fn learn(&mut self, line: &str, at: Option<Instant>) {
        self.lines += 1;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["took", claim, sender, queue, id, occurrence, message_id] => {
                let name = (id.to_owned(), occurrence.to_owned());
                let came = self.messages.entry(name).or_default();
                if came.0 != message_id {
                    *came = (message_id.to_owned(), self.lines);
                }
                if claim != "-" {
                    self.let_go(message_id);
                    let ids = self.claims.entry(claim.to_owned()).or_default();
                    ids.push(message_id.to_owned());
                }
                let from = (sender.to_owned(), queue.to_owned());
                if occurrence == "-" {
                    self.youngest.entry(from).or_default().came(at, id);
                }
            }
            ["gave", message_id] => self.let_go(message_id),
            ["acknowledged", claim] => {
                let ids = self.claims.remove(claim).unwrap_or_default();
                let line = self.lines;
                for id in ids {
                    self.acknowledged.entry(id).or_insert(line);
                }
            }
            _ => {}
        }
    }

    /// No claim holds this message any more.
    fn let_go(&mut self, message_id: &str) {
        for ids in self.claims.values_mut() {
            ids.retain(|id| id != message_id);
        }
    }

    /// What the same sender sent after this and came before it. The first 13 characters of an id are its milliseconds.
    fn sent_later(&self, frame: &Frame) -> Option<String> {
        let from = (frame.sender.clone(), frame.queue.clone());
        let youngest = self.youngest.get(&from)?.until(frame.at)?;
        let is_later = youngest.get(..13)? > frame.id.get(..13)?;
        is_later.then(|| format!("it was sent before {youngest}, which came first"))
    }
}

impl Youngest {
    fn came(&mut self, at: Option<Instant>, id: &str) {
        let next = self.0.partition_point(|(came, _)| *came <= at);
        if next > 0 && self.0[next - 1].1.as_str() >= id {
            return;
        }
        self.0.insert(next, (at, id.to_owned()));
        self.0
            .retain(|(came, other)| *came < at || other.as_str() >= id);
        if self.0.len() > STEPS {
            self.0.pop_front();
        }
    }

    /// The youngest of those that came until then.
    fn until(&self, at: Instant) -> Option<&str> {
        let next = self.0.partition_point(|(came, _)| *came <= Some(at));
        Some(&self.0.get(next.checked_sub(1)?)?.1)
    }
}
