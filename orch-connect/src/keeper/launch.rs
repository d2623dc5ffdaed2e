//! What host and keeper say to each other, and how the program's pipes travel.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use orch_core::LimitReached;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::meter::Used;
use super::watch::Watch;
use crate::subprocess::Exit;

/// More than any system takes as arguments and environment.
const LAUNCH_BYTES_MAX: u64 = 64 << 20;

/// Which program to run, and how.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The program's file; absolute.
    pub(crate) program: OsString,
    /// What the program sees as its own name.
    pub(crate) arg0: OsString,
    pub(crate) args: Vec<OsString>,
    /// All of the environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The working folder; absolute.
    pub(crate) cwd: OsString,
    /// The session's folder, to be removed if the host is gone by the end; absolute.
    pub(crate) remove: OsString,
    /// What is to be watched, and held.
    pub(crate) watch: Watch,
}

/// What a host may want of its keeper. One byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// SIGTERM to the program and all of its descendants.
    Term,
    /// SIGKILL to them, until none is left.
    Kill,
    /// A report of what they used.
    Measure,
}

impl Command {
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Term => b'T',
            Self::Kill => b'K',
            Self::Measure => b'M',
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Term, Self::Kill, Self::Measure]
            .into_iter()
            .find(|command| command.to_byte() == byte)
    }
}

/// What a keeper tells its host. A line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The program runs, with this process id.
    Started(u32),
    /// The program could not be started.
    SpawnFailed { error: String, errno: Option<i32> },
    /// The program ended; what it forked is being killed.
    Exited(Exit),
    /// A limit was reached. If it is killed for it, that has begun.
    Reached(LimitReached),
    /// What was used so far: as an answer, and when nothing is left.
    Used(Used),
    /// Nothing is left.
    Empty,
}

/// Sends a launch and the program's stdin, stdout and stderr. Never waits: what is long lies in the
/// file, and a new socket takes one byte.
pub(crate) fn send_launch(
    control: &UnixStream,
    launch: &Launch,
    stdio: &[OwnedFd; 3],
) -> io::Result<()> {
    let mut file = File::from(memfd_create("orch-launch", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, launch)?;
    file.flush()?;
    file.rewind()?;

    let fds = [file.as_fd(), stdio[0].as_fd(), stdio[1].as_fd(), stdio[2].as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let fits = rights.push(SendAncillaryMessage::ScmRights(&fds));
    assert!(fits, "the space is that of four descriptors");
    sendmsg(control, &[IoSlice::new(b"L")], &mut rights, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send_launch`] sent. All descriptors are closed on exec.
pub(super) fn receive_launch(control: &UnixStream) -> io::Result<(Launch, [OwnedFd; 3])> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    recvmsg(control, &mut [IoSliceMut::new(&mut byte)], &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds: Vec<OwnedFd> = Vec::with_capacity(4);
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    let [file, stdin, stdout, stderr] = <[OwnedFd; 4]>::try_from(fds)
        .map_err(|fds| io::Error::other(format!("{} descriptors came instead of 4", fds.len())))?;
    let mut json = Vec::new();
    File::from(file).take(LAUNCH_BYTES_MAX).read_to_end(&mut json)?;
    Ok((serde_json::from_slice(&json)?, [stdin, stdout, stderr]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_launch_arrives_whole_with_its_descriptors_in_order() {
        let odd = OsString::from_vec(vec![b'a', 0xff, b'\n']);
        let launch = Launch {
            program: "/bin/x".into(),
            arg0: odd.clone(),
            args: vec![odd.clone(); 1000],
            env: vec![("A".into(), odd)],
            cwd: "/".into(),
            remove: "/nowhere".into(),
            watch: Watch { name: "a".into(), is_strict: true, ..Watch::default() },
        };
        let (host, keeper) = UnixStream::pair().unwrap();
        let files: Vec<File> = ["in", "out", "err"]
            .into_iter()
            .map(|text| {
                let mut file = File::from(memfd_create("t", MemfdFlags::CLOEXEC).unwrap());
                file.write_all(text.as_bytes()).unwrap();
                file.rewind().unwrap();
                file
            })
            .collect();
        let stdio = files.into_iter().map(OwnedFd::from).collect::<Vec<_>>().try_into().unwrap();
        send_launch(&host, &launch, &stdio).unwrap();

        let (received, stdio) = receive_launch(&keeper).unwrap();
        assert!(received == launch);
        let texts = stdio.map(|fd| io::read_to_string(File::from(fd)).unwrap());
        assert_eq!(texts, ["in", "out", "err"]);
    }

    #[test]
    fn a_launch_without_descriptors_is_refused() {
        let (mut host, keeper) = UnixStream::pair().unwrap();
        host.write_all(b"L").unwrap();
        assert!(receive_launch(&keeper).is_err());
    }
}
