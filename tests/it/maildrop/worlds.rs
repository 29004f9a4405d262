//! Random lives of a maildrop: whatever happens on the server, on the disk and to the process,
//! no message is lost and none is doubled.

use std::collections::BTreeMap;

use fastrand::Rng;
use kit::compare::content;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::config::Keep;

use super::{DAY, inbox, message};

/// Lives; `MAILTIDE_FULL=1` tries ten times as many.
const LIVES: u64 = 150;
const STEPS: usize = 14;

/// A maildrop, who pulls from it, and what ever was in it.
struct Life {
    rng: Rng,
    server: Server,
    world: World,
    /// Equal messages may come, and names may be those of several; not both, since nothing tells
    /// then which is which.
    twins: bool,
    next: u32,
    /// How often each content was delivered, taken away by somebody else, deleted here.
    came: BTreeMap<String, usize>,
    taken: BTreeMap<String, usize>,
    deleted: BTreeMap<String, usize>,
    steps: Vec<String>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let twins = rng.bool();
        let profile = Profile {
            uidl: twins || rng.u8(..4) > 0,
            top: rng.u8(..4) > 0,
            pipelining: rng.bool(),
            ..Profile::default()
        };
        let keep = [Keep::Forever, Keep::UntilPulled, Keep::Days(2)][rng.usize(..3)];
        let server = Server::with::<&str>(profile.clone(), []);
        let world = World::of_maildrop(&server, keep);
        let none = BTreeMap::new;
        let (came, taken, deleted) = (none(), none(), none());
        let steps = vec![format!("{keep:?} {profile:?}")];
        Self { rng, server, world, twins, next: 1, came, taken, deleted, steps }
    }

    fn step(&mut self) {
        let on_server = self.server.messages().len();
        match self.rng.u8(..13) {
            0..3 => self.deliver(),
            3 if on_server > 0 => {
                let at = self.rng.usize(..on_server);
                let body = self.server.messages()[at].body.clone();
                *self.taken.entry(content(&body)).or_default() += 1;
                self.server.remove(at);
                self.steps.push(format!("{at} is taken away"));
            }
            4 => {
                self.server.renew_uidls();
                self.steps.push("other names".to_owned());
            }
            5 if on_server > 1 && !self.twins => {
                self.server.set_uidl(0, Some("several"));
                self.server.set_uidl(on_server - 1, Some("several"));
                self.steps.push("a name of two".to_owned());
            }
            6 => self.delete_here(),
            7 => {
                self.world.fs.set_clock(self.world.fs.clock() + DAY);
                self.steps.push("a day".to_owned());
            }
            8 => {
                let point = 1 + self.rng.u64(..40);
                let _ = self.world.run_until(point);
                self.world.fs.restart();
                self.steps.push(format!("a crash at {point}"));
            }
            9 => {
                let after = self.rng.u64(..2_000);
                let cut = self.server.inject(Fault::CutAfterSent(after), When::connect().nth(1));
                let _ = self.world.sync();
                self.server.withdraw(&cut);
                self.steps.push(format!("cut after {after}"));
            }
            _ => {
                let (report, result) = self.world.sync();
                result.unwrap();
                self.steps.push(format!("a pull: {report}"));
            }
        }
        self.world.wait();
        self.check(false);
    }

    fn deliver(&mut self) {
        let again = self.twins && self.next > 1 && self.rng.u8(..4) == 0;
        let n = if again { self.rng.u32(1..self.next) } else { self.next };
        self.next += u32::from(!again);
        let body = message(n);
        *self.came.entry(content(body.as_bytes())).or_default() += 1;
        self.server.deliver(body.as_bytes());
        self.steps.push(format!("message {n}"));
    }

    fn delete_here(&mut self) {
        let tree = self.world.fs.tree();
        let mut files = tree.iter().filter(|(path, bytes)| {
            bytes.is_some() && path.parent().is_some_and(|dir| dir.ends_with("INBOX/new"))
        });
        let Some((path, Some(bytes))) = files.next() else { return };
        *self.deleted.entry(content(bytes)).or_default() += 1;
        self.world.fs.delete_file(path);
        self.steps.push("one is deleted here".to_owned());
    }

    /// Nothing is here twice; what is neither here nor there was taken away by somebody. At the
    /// end everything that is there is here, or was.
    fn check(&self, at_end: bool) {
        let count = |of: &BTreeMap<String, usize>, what| of.get(what).copied().unwrap_or(0);
        let mut here = BTreeMap::new();
        inbox(&self.world).into_iter().for_each(|one| *here.entry(one).or_default() += 1);
        let mut there = BTreeMap::new();
        let bodies = self.server.bodies();
        bodies.iter().for_each(|body| *there.entry(content(body)).or_default() += 1);
        for (what, came) in &self.came {
            let was_here = count(&here, what) + count(&self.deleted, what);
            let accounted = was_here + count(&self.taken, what);
            let all = if at_end { accounted } else { accounted + count(&there, what) };
            assert!(was_here <= *came, "doubled: {what}\n{}", self.steps.join("\n"));
            assert!(all >= *came, "lost: {what}\n{}", self.steps.join("\n"));
        }
        let strange = here.keys().find(|what| !self.came.contains_key(*what));
        assert!(strange.is_none(), "{strange:?}");
    }
}

#[test]
fn no_life_of_a_maildrop_loses_or_doubles_a_message() {
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    let seeds = if full { fastrand::u64(..) } else { 0 };
    println!("seeds from {seeds}");
    for n in 0..if full { 10 * LIVES } else { LIVES } {
        let mut life = Life::new(seeds.wrapping_add(n));
        life.steps.push(format!("seed {}", seeds.wrapping_add(n)));
        (0..STEPS).for_each(|_| life.step());
        for _ in 0..2 {
            life.world.sync().1.unwrap();
            life.world.wait();
        }
        life.check(true);
    }
}
