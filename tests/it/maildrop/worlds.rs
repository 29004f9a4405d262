//! Random lives of a maildrop: mail comes and goes, names change, runs crash, disks fail and are
//! restored, stores are lost. Nothing is ever lost or doubled, and nothing stops for good.

use std::collections::BTreeMap;

use fastrand::Rng;
use kit::pop3::{Fault, Profile, Server, When};
use kit::world::World;
use mailtide::config::Keep;

use super::{DAY, message, restored};

/// Lives that are tried, and what happens in each.
const LIVES: u64 = 300;
const STEPS: usize = 18;

type Tree = BTreeMap<std::path::PathBuf, Option<Vec<u8>>>;

struct Life {
    rng: Rng,
    server: Server,
    world: World,
    twins: bool,
    adds: bool,
    restores: bool,
    renamed: bool,
    next: u32,
    came: BTreeMap<u32, usize>,
    taken: BTreeMap<u32, usize>,
    deleted: BTreeMap<u32, usize>,
    backup: Option<Tree>,
    steps: Vec<String>,
}

fn number(body: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(body);
    let at = text.find("Message-ID: <").expect("one of ours") + 13;
    text[at..].split('@').next().unwrap().parse().unwrap()
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let adds = rng.u8(..3) == 0;
        let twins = !adds && rng.bool();
        let profile = Profile {
            uidl: twins || adds || rng.u8(..4) > 0,
            top: rng.u8(..4) > 0,
            pipelining: rng.bool(),
            ..Profile::default()
        };
        let keep = [Keep::Forever, Keep::UntilPulled, Keep::Days(2)][rng.usize(..3)];
        let server = Server::with::<&str>(profile.clone(), []);
        let world = World::of_maildrop(&server, keep);
        if adds {
            server.inject(Fault::AddHeader, When::verb("RETR"));
        }
        let restores = keep == Keep::Forever && rng.bool();
        let steps =
            vec![format!("{keep:?} twins {twins} adds {adds} restores {restores} {profile:?}")];
        let none = BTreeMap::new;
        Self {
            rng,
            server,
            world,
            twins,
            adds,
            restores,
            renamed: false,
            next: 1,
            came: none(),
            taken: none(),
            deleted: none(),
            backup: None,
            steps,
        }
    }

    fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let all = self.world.fs.tree().into_iter();
        all.filter(|(path, bytes)| {
            bytes.is_some()
                && path
                    .parent()
                    .is_some_and(|d| d.ends_with("INBOX/new") || d.ends_with("INBOX/cur"))
        })
        .map(|(path, bytes)| (path, bytes.unwrap()))
        .collect()
    }

    fn step(&mut self) {
        let on_server = self.server.messages().len();
        match self.rng.u8(..21) {
            0..3 => self.deliver(),
            3 if on_server > 0 && !self.restores => {
                let at = self.rng.usize(..on_server);
                let n = number(&self.server.messages()[at].body);
                *self.taken.entry(n).or_default() += 1;
                self.server.remove(at);
                self.steps.push(format!("{n} is taken away"));
            }
            4 if !self.adds => {
                self.server.renew_uidls();
                self.renamed = true;
                self.steps.push("other names".to_owned());
            }
            5 if on_server > 1 && !self.twins && !self.adds => {
                self.server.set_uidl(0, Some("several"));
                self.server.set_uidl(on_server - 1, Some("several"));
                self.steps.push("a name of two".to_owned());
            }
            6 if !self.restores => {
                let Some((path, bytes)) = self.files().into_iter().next() else { return };
                *self.deleted.entry(number(&bytes)).or_default() += 1;
                self.world.fs.delete_file(path);
                self.steps.push(format!("{} is deleted here", number(&bytes)));
            }
            7 => {
                self.world.fs.set_clock(self.world.fs.clock() + DAY);
                self.steps.push("a day".to_owned());
            }
            8 => {
                let point = 1 + self.rng.u64(..60);
                let _ = self.world.run_until(point);
                self.world.fs.restart();
                self.steps.push(format!("a crash at {point}"));
            }
            9 => {
                let after = self.rng.u64(..3_000);
                let cut = self.server.inject(Fault::CutAfterSent(after), When::connect().nth(1));
                let _ = self.world.sync();
                self.server.withdraw(&cut);
                self.steps.push(format!("cut after {after}"));
            }
            10 => {
                let (point, seed) = (1 + self.rng.u64(..60), self.rng.u64(..4));
                let _ = self.world.run_until(point);
                self.world.fs.power_loss(seed);
                self.steps.push(format!("a power cut at {point}, {seed}"));
            }
            11 => {
                let window = self.rng.usize(..4);
                self.server.configure(|profile| profile.window = Some(window));
                let _ = self.world.sync();
                self.server.configure(|profile| profile.window = None);
                self.steps.push(format!("a part: {window}"));
            }
            12 => {
                let verb = ["UIDL", "LIST", "RETR", "TOP", "DELE", "QUIT"][self.rng.usize(..6)];
                let faults = [
                    Fault::Refuse("no".to_owned()),
                    Fault::CutBefore,
                    Fault::CutAfter,
                    Fault::KeepDeleted,
                    Fault::Hang,
                    Fault::Say(b"what\r\n".to_vec()),
                    Fault::RefuseMessage(1),
                ];
                let fault = faults[self.rng.usize(..faults.len())].clone();
                let nth = 1 + self.rng.u64(..3);
                let when =
                    if self.rng.bool() { When::verb(verb) } else { When::verb(verb).nth(nth) };
                let bad = self.server.inject(fault.clone(), when.clone());
                let result = self.world.sync().1.is_ok();
                self.server.withdraw(&bad);
                self.steps.push(format!("{verb} {nth}: {fault:?}: {result}"));
            }
            13 if self.restores => {
                let tree = self.world.fs.tree();
                if !tree.keys().any(|path| path.ends_with(".mailtide/marker")) {
                    return;
                }
                self.backup = Some(tree);
                self.steps.push("a backup".to_owned());
            }
            14 if self.restores => {
                let Some(backup) = &self.backup else { return };
                self.world.fs = restored(backup, self.world.fs.clock());
                self.steps.push("a restore".to_owned());
            }
            15 => {
                let n = 1 + self.rng.u64(..60);
                let _ = self.world.run_failing(n, || std::io::ErrorKind::StorageFull.into());
                self.steps.push(format!("the disk fails at {n}"));
            }
            18 if self.restores && !self.adds => {
                if self.world.store().exists() {
                    self.world.lose_store();
                }
                self.steps.push("the store is lost".to_owned());
            }
            19 if !self.adds => {
                let host = format!("host{}", self.next);
                let server = self.server.clone();
                self.world.move_to(&server, &host);
                self.steps.push(format!("moved to {host}"));
            }
            _ => {
                let (report, result) = self.world.sync();
                self.steps.push(format!("a pull: {report}"));
                self.renamed &= !report.skipped.is_empty();
                if let Err(error) = result {
                    panic!("stuck: {error}\n{}", self.steps.join("\n"));
                }
            }
        }
        self.world.wait();
        self.check(false);
    }

    fn deliver(&mut self) {
        let again = self.twins && self.next > 1 && self.rng.u8(..4) == 0;
        let n = if again { self.rng.u32(1..self.next) } else { self.next };
        self.next += u32::from(!again);
        *self.came.entry(n).or_default() += 1;
        self.server.deliver(message(n).as_bytes());
        self.steps.push(format!("message {n}"));
    }

    fn check(&self, at_end: bool) {
        let count = |of: &BTreeMap<u32, usize>, n| of.get(n).copied().unwrap_or(0);
        let mut here: BTreeMap<u32, usize> = BTreeMap::new();
        for (path, bytes) in self.files() {
            let n = number(&bytes);
            let text = String::from_utf8(bytes).unwrap();
            let lines = text.split_inclusive('\n').filter(|l| !l.starts_with("X-Retrieved"));
            let text: String = lines.collect();
            let steps = self.steps.join("\n");
            assert_eq!(text, message(n).replace("\r\n", "\n"), "altered: {path:?}\n{steps}");
            *here.entry(n).or_default() += 1;
        }
        let mut there: BTreeMap<u32, usize> = BTreeMap::new();
        self.server.bodies().iter().for_each(|body| *there.entry(number(body)).or_default() += 1);
        for (n, came) in &self.came {
            let was_here = count(&here, n) + count(&self.deleted, n);
            let accounted = was_here + count(&self.taken, n);
            let all = if at_end { accounted } else { accounted + count(&there, n) };
            assert!(was_here <= *came, "doubled: {n}\n{}", self.steps.join("\n"));
            assert!(all >= *came, "lost: {n}\n{}", self.steps.join("\n"));
        }
    }
}

#[test]
fn no_life_of_a_maildrop_loses_or_doubles_a_message() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let full = std::env::var_os("MAILTIDE_FULL").is_some();
    let from = number("MAILTIDE_SEED").unwrap_or(if full { fastrand::u64(..1 << 40) } else { 0 });
    println!("seeds from {from}");
    for seed in from..from + if full { 10 * LIVES } else { LIVES } {
        let mut life = Life::new(seed);
        life.steps.push(format!("seed {seed}"));
        (0..STEPS).for_each(|_| life.step());
        life.server.heal();
        if life.adds {
            life.server.inject(Fault::AddHeader, When::verb("RETR"));
        }
        for _ in 0..2 {
            life.world.fs.set_clock(life.world.fs.clock() + DAY);
            let (_, result) = life.world.sync();
            assert!(result.is_ok(), "stuck: {result:?}\n{}", life.steps.join("\n"));
            life.world.wait();
        }
        life.check(true);
    }
}
