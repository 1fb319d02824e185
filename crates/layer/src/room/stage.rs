//! The inside of a room, in a process that was started for it and has one thread.
//!
//! Two steps, since only a child is born into a new pid namespace: the *stage* makes namespaces, a loopback and the
//! listener, and hands the listener to the runner; its child becomes the other user, puts up the wall, and then is the
//! tool. The stage waits for two things: the end of the tool, which it passes on, and the end of the runner, at which it
//! ends itself; and with it, at the kernel's hand, everything inside.

use std::{
    ffi::OsString,
    fs,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::{Ipv4Addr, TcpListener},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::{Component, Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::CWD,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount,
        open_tree,
    },
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, recv,
        send, sendmsg, socket,
    },
    process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal},
    thread::UnshareFlags,
};

use super::{COMPLAINT, NO_ROOM, Network, OWN_PORT, Plan, ROOM_COMMAND, wall};

/// Tells the second step from the first.
const INSIDE: &str = "inside";

/// Runs a room: the process is started under [`ROOM_COMMAND`] by the layer crate itself, before any thread exists.
#[must_use]
pub fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(2).collect();
    let parsed = |text: &OsString| -> io::Result<Plan> {
        let text = text.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(serde_json::from_str(text)?)
    };
    let ended = match &arguments[..] {
        [plan] => parsed(plan).and_then(|plan_of| stage(&plan_of, plan)),
        [inside, plan] if inside == INSIDE => parsed(plan).and_then(|plan| Err(enter(&plan))),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            // The runner reads this as the reason why there is no room.
            let _nobody_listens =
                io::Write::write_all(&mut io::stderr(), format!("\n{COMPLAINT}{error}\n").as_bytes());
            ExitCode::from(u8::try_from(NO_ROOM).unwrap_or(1))
        }
    }
}

fn stage(plan: &Plan, text: &OsString) -> io::Result<ExitCode> {
    let runner = io::stdin().as_fd().try_clone_to_owned()?;
    if plan.network == Network::Own {
        let said = |error: io::Error| io::Error::other(format!("namespaces: {error}"));
        isolate(plan).map_err(said)?;
        loopback_up().map_err(said)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, OWN_PORT))?;
        hand_over(runner.as_fd(), listener.as_fd())?;
    }
    let mut child = Command::new("/proc/self/exe")
        .arg(ROOM_COMMAND)
        .arg(INSIDE)
        .arg(text)
        .env_clear()
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::other(format!("its process: {error}")))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let tool = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        // The socket never carries anything this way: whatever happens to it is the runner's end.
        let mut waited =
            [PollFd::new(&tool, PollFlags::IN), PollFd::new(&runner, PollFlags::IN | PollFlags::RDHUP)];
        match poll(&mut waited, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if !waited[1].revents().is_empty() {
            child.kill()?;
            child.wait()?;
            return Ok(ExitCode::FAILURE);
        }
        if !waited[0].revents().is_empty() {
            let status = child.wait()?;
            let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
    }
}

/// New namespaces for this process (network) and its children (pid).
fn isolate(plan: &Plan) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let mut flags = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWPID;
    if plan.id.is_some() {
        flags |= UnshareFlags::NEWNS;
    } else {
        unshare(UnshareFlags::NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    unshare(flags)?;
    if plan.id.is_some() {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        reveal(plan)?;
    }
    Ok(())
}

#[expect(
    deprecated,
    reason = "nothing of this process shares descriptors, which is all that its successor warns of"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}

/// Makes what the tool needs reachable for another user, where root keeps it in a directory of its own, such as `/root`:
/// an empty directory takes the place of the closed one, with only the needed parts in it.
fn reveal(plan: &Plan) -> io::Result<()> {
    let mut closed: Vec<(PathBuf, Vec<&Path>)> = Vec::new();
    for path in plan.reads.iter().chain(&plan.writes).chain([&plan.directory]) {
        if let Some(ancestor) = first_closed(path) {
            match closed.iter_mut().find(|(known, _)| *known == ancestor) {
                Some((_, paths)) => paths.push(path),
                None => closed.push((ancestor, vec![path])),
            }
        }
    }
    for (ancestor, paths) in closed {
        let mut trees = Vec::new();
        for path in paths {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            trees.push((path, path.is_dir(), open_tree(CWD, path, flags)?));
        }
        let options = c"mode=0755,size=1m";
        mount("skillbox", &ancestor, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)?;
        for (path, is_directory, tree) in trees {
            if is_directory {
                fs::create_dir_all(path)?;
            } else {
                fs::create_dir_all(path.parent().unwrap_or(&ancestor))?;
                // One may be in another that came before it.
                if !path.exists() {
                    fs::write(path, "")?;
                }
            }
            move_mount(&tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        }
    }
    Ok(())
}

/// The first directory above a path that others may not go through.
fn first_closed(path: &Path) -> Option<PathBuf> {
    let mut ancestor = PathBuf::new();
    let above = path.parent()?;
    for component in above.components() {
        ancestor.push(component);
        if component != Component::RootDir
            && fs::symlink_metadata(&ancestor)
                .is_ok_and(|metadata| metadata.is_dir() && metadata.mode() & 0o001 == 0)
        {
            return Some(ancestor);
        }
    }
    None
}

/// Sets `lo` up, by the one netlink message that takes: RTM_NEWLINK for interface 1 with IFF_UP.
fn loopback_up() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const LOOPBACK: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match answer.get(16..20).filter(|_| length >= 20) {
        Some(code) => match i32::from_ne_bytes(code.try_into().unwrap_or([0xff; 4])) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
        },
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn hand_over(runner: BorrowedFd<'_>, listener: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [listener];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(runner, &[IoSlice::new(&[1])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Becomes the tool; comes back only with an error.
fn enter(plan: &Plan) -> io::Error {
    let entered = (|| -> io::Result<Command> {
        // Also while there still is something to do before the next call of it: changing the user undoes it.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if let Some(id) = plan.id {
            wall::become_user(id)?;
        }
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let [program, arguments @ ..] = &plan.argv[..] else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&plan.directory)
            .env_clear()
            .envs(plan.environment.iter().map(|(name, value)| (name, value)));
        let executable =
            fs::metadata(program).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0);
        if !executable {
            return Err(io::Error::other(format!(
                "`{}` is not executable there",
                Path::new(program).display()
            )));
        }
        wall::put_up(plan)?;
        Ok(command)
    })();
    match entered {
        Ok(mut command) => {
            let error = command.exec();
            io::Error::other(format!("the tool: {error}"))
        }
        Err(error) => error,
    }
}
