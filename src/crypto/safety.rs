//! The number that two people compare to know that nobody stands between them.

use super::hex_array;
use crate::error::{Error, Result};
use sha2::{Digest, Sha512};

const CONTEXT: &[u8] = b"mesh/safety-number/v1\0";
/// Makes a search for two keys with the same digits that much dearer; as Signal does.
const ROUNDS: usize = 5_200;
const GROUPS: usize = 12;

/// 60 digits in 12 groups, from two identities in a mesh (its id): the same whoever of the two asks.
///
/// ME400 when a key is not 64 hex digits.
pub fn safety_number(mesh: &str, one: &str, other: &str) -> Result<String> {
    let key = |hex: &str| {
        hex_array::<32>(hex).ok_or_else(|| Error::new(400, "an identity is 64 lower hex digits"))
    };
    let mut keys = [key(one)?, key(other)?];
    keys.sort();
    let about = [CONTEXT, mesh.as_bytes(), &keys[0], &keys[1]].concat();
    let mut digest = Sha512::digest(&about);
    for _ in 1..ROUNDS {
        digest = Sha512::new()
            .chain_update(digest)
            .chain_update(&about)
            .finalize();
    }
    let group = |bytes: &[u8]| {
        let number = bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    };
    let groups: Vec<_> = digest.chunks_exact(5).take(GROUPS).map(group).collect();
    Ok(groups.join(" "))
}
