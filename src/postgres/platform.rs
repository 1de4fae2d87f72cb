//! What differs between operating systems: folders and users. (process.rs has processes, packages.rs the places of programs.)

use crate::error::{Error, Result};
use crate::home::Home;
use nix::unistd::{Gid, Uid, User};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest path of a Unix socket, in bytes.
#[cfg(target_os = "linux")]
const SOCKET_PATH_LIMIT: usize = 107;
#[cfg(not(target_os = "linux"))]
const SOCKET_PATH_LIMIT: usize = 103;

/// The socket's name in its directory; the port is only a name, since nothing listens on TCP.
const SOCKET_NAME: &str = "/.s.PGSQL.5432";

/// The user a private Postgres runs as.
#[derive(Clone, Debug)]
pub struct ServerUser {
    pub name: String,
    uid: Uid,
    gid: Gid,
}

/// Where `mesh up` keeps its things: Mesh's home, or /var/lib/mesh for root without a home of its own choice, because
/// the server's user cannot enter /root.
pub fn base(home: &Home) -> PathBuf {
    use etcetera::BaseStrategy;
    let default = etcetera::choose_base_strategy()
        .ok()
        .map(|strategy| strategy.data_dir().join("mesh"));
    if Uid::effective().is_root() && default.as_deref() == Some(&home.root) {
        PathBuf::from("/var/lib/mesh")
    } else {
        home.root.clone()
    }
}

/// Who runs the server whose folder is `cluster`: its owner when it exists, else the caller, and for root (which Postgres
/// refuses) the person behind sudo, `postgres`, or `nobody`. Errors: ME503 when there is no such user.
pub fn server_user(cluster: &Path) -> Result<ServerUser> {
    let me = Uid::effective();
    if !me.is_root() {
        return known(User::from_uid(me).ok().flatten()).ok_or_else(|| {
            Error::unavailable(format!(
                "user {me} has no name on this machine, and Postgres needs one"
            ))
        });
    }
    let owner = cluster
        .metadata()
        .ok()
        .map(|data| Uid::from_raw(data.uid()))
        .filter(|uid| !uid.is_root());
    let owner = owner.and_then(|uid| User::from_uid(uid).ok().flatten());
    let names = [
        std::env::var("SUDO_USER").ok(),
        Some("postgres".into()),
        Some("nobody".into()),
    ];
    let named = names
        .into_iter()
        .flatten()
        .filter_map(|name| User::from_name(&name).ok().flatten());
    known(
        owner
            .into_iter()
            .chain(named)
            .find(|user| !user.uid.is_root()),
    )
    .ok_or_else(|| {
        Error::unavailable("Postgres refuses to run as root, and there is no other user for it")
            .hint("useradd --system postgres")
    })
}

/// The name of the user who runs this program.
pub fn user_name() -> String {
    User::from_uid(Uid::effective())
        .ok()
        .flatten()
        .map_or_else(|| "root".into(), |user| user.name)
}

fn known(user: Option<User>) -> Option<ServerUser> {
    user.map(|user| ServerUser {
        name: user.name,
        uid: user.uid,
        gid: user.gid,
    })
}

/// Makes `path`, 0700, for the server's user alone. Errors: ME403 when it is somebody else's.
pub fn private_directory(path: &Path, user: &ServerUser) -> Result<()> {
    if let Err(error) = std::fs::DirBuilder::new().mode(0o700).create(path)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(Error::internal(format!(
            "cannot make {}: {error}",
            path.display()
        )));
    }
    let data = path.symlink_metadata()?;
    let own = |uid: u32| uid == user.uid.as_raw();
    if !data.is_dir() || !(own(data.uid()) || data.uid() == Uid::effective().as_raw()) {
        return Err(Error::new(
            403,
            format!("{} belongs to somebody else", path.display()),
        ));
    }
    if !own(data.uid()) {
        nix::unistd::chown(path, Some(user.uid), Some(user.gid)).map_err(|e| {
            Error::internal(format!(
                "cannot give {} to {}: {e}",
                path.display(),
                user.name
            ))
        })?;
    }
    if data.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes `path` a folder others may pass through but not list: root's home for Mesh, on the server user's way.
pub fn passable_directory(path: &Path) -> Result<()> {
    let mode = if Uid::effective().is_root() {
        0o711
    } else {
        0o700
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| Error::internal(format!("cannot make {}: {e}", path.display())))?;
    let data = path.metadata()?;
    if Uid::effective().is_root() && data.uid() == 0 && data.permissions().mode() & 0o011 != 0o011 {
        std::fs::set_permissions(
            path,
            std::fs::Permissions::from_mode(data.permissions().mode() | 0o011),
        )?;
    }
    Ok(())
}

/// Errors: ME403 naming the folder on the way to `path` that the server's user cannot enter.
pub fn check_reachable(path: &Path, user: &ServerUser) -> Result<()> {
    let path = path.canonicalize()?;
    for folder in path.ancestors().skip(1) {
        let data = folder.metadata()?;
        let needed = match (
            data.uid() == user.uid.as_raw(),
            data.gid() == user.gid.as_raw(),
        ) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if data.permissions().mode() & needed == 0 {
            return Err(Error::new(
                403,
                format!(
                    "the database runs as {}, who cannot enter {}",
                    user.name,
                    folder.display()
                ),
            )
            .hint("MESH_HOME=/srv/mesh mesh up"));
        }
    }
    Ok(())
}

/// Where the server's socket is: `wanted`, or a short private folder when that path is too long for a socket.
pub fn socket_directory(wanted: &Path, user: &ServerUser) -> Result<PathBuf> {
    let mut directory = wanted.to_path_buf();
    if wanted.as_os_str().len() + SOCKET_NAME.len() > SOCKET_PATH_LIMIT {
        let id = &crate::crypto::sha256_hex(wanted.as_os_str().as_encoded_bytes())[..12];
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|path| path.is_dir() && user.uid == Uid::effective());
        directory = match runtime {
            Some(path) => path.join(format!("mesh-{id}")),
            None => PathBuf::from(format!("/tmp/mesh-{}-{id}", user.uid)),
        };
    }
    private_directory(&directory, user)?;
    Ok(directory)
}

/// A program run as the server's user with a clean environment, in `folder`.
pub fn server_command(program: &Path, folder: &Path, user: &ServerUser) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder);
    command
        .stdin(std::process::Stdio::null())
        .current_dir(folder);
    if user.uid != Uid::effective() {
        let (uid, gid) = (user.uid, user.gid);
        #[cfg(not(target_vendor = "apple"))]
        let groups = {
            let name = std::ffi::CString::new(user.name.as_str())
                .map_err(|e| Error::internal(e.to_string()))?;
            nix::unistd::getgrouplist(&name, gid).map_err(|e| Error::internal(e.to_string()))?
        };
        // Between fork and exec only system calls are safe, so the groups were looked up before.
        unsafe {
            command.pre_exec(move || {
                #[cfg(not(target_vendor = "apple"))]
                nix::unistd::setgroups(&groups)?;
                nix::unistd::setgid(gid)?;
                nix::unistd::setuid(uid)?;
                Ok(())
            });
        }
    }
    Ok(command)
}

/// Writes a file that belongs to the server's user, 0600. True when its text changed.
pub fn write_for(path: &Path, text: &str, user: &ServerUser) -> Result<bool> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    if user.uid != Uid::effective() {
        nix::unistd::chown(&new, Some(user.uid), Some(user.gid))
            .map_err(|e| Error::internal(e.to_string()))?;
    }
    std::fs::rename(&new, path)?;
    Ok(true)
}
