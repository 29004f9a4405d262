//! Waking from sleep, a clock that was set, and a network that changed: told by the system, so
//! that nobody has to ask for it.

use super::cause::Cause;

/// Calls `told` for each, on a thread of its own. Elsewhere than on Linux nothing is told; the
/// deadlines of the connections find out, later.
#[cfg(not(target_os = "linux"))]
pub fn watch(_told: impl Fn(Cause) + Send + 'static) {}

/// Calls `told` for each, on a thread of its own.
#[cfg(target_os = "linux")]
pub fn watch(told: impl Fn(Cause) + Send + 'static) {
    let thread = std::thread::Builder::new().name("wake".to_owned());
    let spawned = thread.spawn(move || {
        if let Err(error) = linux::watch(&told) {
            tracing::info!("sleep and network changes are not noticed at once: {error}");
        }
    });
    if let Err(error) = spawned {
        tracing::info!("sleep and network changes are not noticed at once: {error}");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::{Errno, read};
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    };

    use crate::daemon::cause::Cause;

    /// Changes of links, addresses and routes (`RTMGRP_*`, linux/rtnetlink.h): LINK, IPV4_IFADDR,
    /// IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE.
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    /// A change of network is many messages.
    const CALM: Duration = Duration::from_secs(1);

    pub(super) fn watch(told: &dyn Fn(Cause)) -> io::Result<()> {
        let clock = clock()?;
        let network = network()?;
        loop {
            let mut fds =
                [PollFd::new(&clock, PollFlags::IN), PollFd::new(&network, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let (woken, changed) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if woken {
                // Cancelled: the clock was set, which waking from sleep does as well.
                let _ = read(&clock, &mut [0; 8]);
                arm(&clock)?;
                told(Cause::Resumed);
            }
            if changed {
                std::thread::sleep(CALM);
                drain(&network);
                told(Cause::Network);
            }
        }
    }

    /// A timer that never fires, and is cancelled when the clock is set.
    fn clock() -> io::Result<OwnedFd> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let clock = timerfd_create(TimerfdClockId::Realtime, flags)?;
        arm(&clock)?;
        Ok(clock)
    }

    fn arm(clock: &OwnedFd) -> io::Result<()> {
        let never = Timespec { tv_sec: i64::MAX / 2_000_000_000, tv_nsec: 0 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(clock, flags, &once)?;
        Ok(())
    }

    fn network() -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        // No protocol is NETLINK_ROUTE.
        let socket = rustix::net::socket_with(family, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(socket)
    }

    /// Which messages they are does not matter.
    fn drain(network: &OwnedFd) {
        let mut buffer = [0_u8; 8 << 10];
        while rustix::net::recv(network, &mut buffer[..], RecvFlags::empty())
            .is_ok_and(|(_, received)| received > 0)
        {}
    }
}
