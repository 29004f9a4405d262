//! What readers, people and other devices do: one action each, on what mailtide is busy with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kit::imap::Msg;
use kit::world::{Mail, Moment, ROOT, Sides};

use super::book::{Book, HERE, THERE};

/// An action: none where there is nothing to act on, else what may undo it later.
pub(super) type Act = fn(&mut Scene<'_>) -> Option<Undo>;
/// Ends what lasts.
pub(super) type Undo = fn(&Sides);

/// The device that the root is on where it is a mount, and `hide-root` is tried.
pub(super) const DISK: u64 = 2;

/// By name, the table of all.
pub(super) const ACTIONS: [(&str, Act); 27] = [
    ("read", |s| s.here(|s, file| s.rename(file, &s.mailbox.clone(), &stem(file), &seen(file)))),
    ("restem", |s| {
        s.here(|s, file| {
            s.book.touched(&s.sides.fs.read_file(file)?);
            s.rename(file, &s.mailbox.clone(), "otherstem", &info(file))
        })
    }),
    ("file", |s| s.here(|s, file| s.rename(file, &s.other_here()?, &stem(file), &info(file)))),
    ("file-restem", |s| s.here(|s, file| s.rename(file, &s.other_here()?, "filed", &info(file)))),
    ("remove", |s| {
        s.here(|s, file| {
            s.sides.fs.delete_file(file);
            Some(())
        })
    }),
    ("edit", |s| {
        s.here(|s, file| {
            let text = s.sides.fs.read_file(file)?;
            s.sides.fs.write_file(file, &[text, b"edited\n".to_vec()].concat());
            Some(())
        })
    }),
    ("resave", |s| {
        s.here(|s, file| {
            let text = s.sides.fs.read_file(file)?;
            s.write(&s.mailbox.clone(), "resaved:2,S", &[text, b"saved\n".to_vec()].concat());
            s.sides.fs.delete_file(file);
            Some(())
        })
    }),
    ("save-copy", |s| {
        s.here(|s, file| {
            let text = s.sides.fs.read_file(file)?;
            s.write(&s.other_here()?, "saved:2,", &text);
            Some(())
        })
    }),
    ("write", |s| {
        s.side(HERE, |s| {
            s.write(&s.mailbox.clone(), "written:2,S", b"Message-ID: <w>\n\nwritten by a hand\n");
            Some(())
        })
    }),
    ("move-dir", |s| {
        s.side(HERE, |s| {
            let from = s.dir()?;
            s.sides.fs.move_file(at(&from), at("Moved"));
            s.book.renamed(&from, "Moved");
            Some(())
        })
    }),
    ("replace-dir", |s| {
        s.side(HERE, |s| {
            let from = s.dir()?;
            s.sides.fs.move_file(at(&from), at("Moved"));
            s.book.renamed(&from, "Moved");
            ["cur", "new", "tmp"].iter().for_each(|sub| s.sides.fs.mkdir_all(at(&from).join(sub)));
            Some(())
        })
    }),
    ("remove-dir", |s| {
        s.side(HERE, |s| {
            remove_all(s.sides, &at(&s.dir()?));
            Some(())
        })
    }),
    ("hide-dir", |s| {
        let dir = at(&s.mailbox);
        // A disk with mail on it. What comes meanwhile into the place of an empty one is a matter
        // for a person, who is asked.
        s.files().iter().find(|(file, _)| file.starts_with(&dir))?;
        s.sides.fs.move_file(&dir, "/hidden");
        s.sides.fs.mkdir_all(&dir);
        s.sides.fs.write_file("/hidden-from", dir.to_string_lossy().as_bytes());
        Some(show_again)
    }),
    ("hide-root", |s| {
        s.sides.fs.unmount(ROOT);
        Some(|sides| sides.fs.mount(ROOT, DISK))
    }),
    ("deny-dir", |s| {
        s.sides.fs.read_dir_names(&at(&s.mailbox))?;
        s.sides.fs.deny(at(&s.mailbox));
        Some(|sides| {
            ["INBOX", "Work", "Trash", "Here", "There"].iter().for_each(|m| sides.fs.allow(at(m)))
        })
    }),
    ("link-dir", |s| {
        let dir = s.dir()?;
        s.sides.fs.mkdir_all("/disk");
        s.sides.fs.move_file(at(&dir), "/disk/linked");
        s.sides.fs.symlink("/disk/linked", at(&dir));
        s.sides.links.push((at(&dir), PathBuf::from("/disk/linked")));
        Some(nothing)
    }),
    ("deliver", |s| {
        s.side(THERE, |s| {
            let text = b"Message-ID: <d>\r\n\r\ndelivered by a hand\r\n";
            (s.sides.server.append(&s.there_or_inbox(), text, &[], Some(50_000)) > 0).then_some(())
        })
    }),
    ("store", |s| {
        s.there(|s, mailbox, message| {
            let seen = message.flags.contains("\\Seen");
            let (add, remove): (&[&str], &[&str]) =
                if seen { (&["\\Answered"], &["\\Seen"]) } else { (&["\\Seen", "Later"], &[]) };
            s.sides.server.set_flags(mailbox, message.uid, add, remove).then_some(())
        })
    }),
    ("move", |s| {
        s.there(|s, mailbox, message| {
            s.sides.server.mv(mailbox, message.uid, &s.other_there(mailbox)?).map(|_| ())
        })
    }),
    ("copy", |s| {
        s.there(|s, mailbox, message| {
            s.sides.server.copy(mailbox, message.uid, &s.other_there(mailbox)?).map(|_| ())
        })
    }),
    ("expunge", |s| {
        s.there(|s, mailbox, message| {
            (s.sides.server.expunge(mailbox, &[message.uid]) > 0).then_some(())
        })
    }),
    ("rename-mailbox", |s| {
        s.side(THERE, |s| {
            let from = s.named_there()?;
            s.book.renamed(&from, "Renamed");
            s.sides.server.rename_mailbox(&from, "Renamed").then_some(())
        })
    }),
    ("delete-mailbox", |s| {
        s.side(THERE, |s| s.sides.server.delete_mailbox(&s.named_there()?).then_some(()))
    }),
    ("remake-mailbox", |s| {
        s.side(THERE, |s| {
            let name = s.named_there()?;
            s.book.remade();
            s.sides.server.delete_mailbox(&name);
            s.sides.server.append(&name, b"Message-ID: <r>\r\n\r\nremade\r\n", &[], Some(60_000));
            Some(())
        })
    }),
    ("remake-alike", |s| {
        s.side(THERE, |s| {
            let name = s.named_there()?;
            let first = s.sides.server.list(&name).into_iter().next()?;
            s.book.remade();
            s.sides.server.delete_mailbox(&name);
            let mut text = first.body.to_vec();
            *text.iter_mut().rev().nth(2)? ^= 1;
            s.book.made_alike(&name, &first.body, &text);
            // The mark is ours, of this moment: nobody makes a message that is marked.
            let flags = first.flags.iter().map(String::as_str);
            let flags: Vec<&str> = flags.filter(|flag| *flag != "\\Deleted").collect();
            s.sides.server.append(&name, &text, &flags, Some(first.date));
            Some(())
        })
    }),
    ("file-and-remake", |s| {
        s.side(THERE, |s| {
            let name = s.named_there()?;
            let first = s.sides.server.list(&name).into_iter().next()?;
            s.book.remade();
            s.sides.server.mv(&name, first.uid, "INBOX")?;
            s.sides.server.delete_mailbox(&name);
            s.sides.server.create(&name).then_some(())
        })
    }),
    ("renumber", |s| {
        s.book.remade();
        s.sides.server.renumber(&s.there_or_inbox());
        Some(nothing)
    }),
];

fn nothing(_: &Sides) {}

fn show_again(sides: &Sides) {
    let dir = sides.fs.read_file("/hidden-from").expect("it was noted where");
    let dir = PathBuf::from(String::from_utf8(dir).expect("a path"));
    remove_all(sides, &dir);
    sides.fs.move_file("/hidden", &dir);
    sides.fs.settle();
}

/// `rm -r`.
fn remove_all(sides: &Sides, dir: &Path) {
    sides.fs.move_file(dir, "/removed");
    sides.fs.settle();
}

fn at(mailbox: &str) -> PathBuf {
    Path::new(ROOT).join(mailbox)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    name(path).split(":2,").next().unwrap_or_default().to_owned()
}

fn info(path: &Path) -> String {
    name(path).split_once(":2,").map(|(_, info)| info.to_owned()).unwrap_or_default()
}

/// The flags of a file that was read.
fn seen(path: &Path) -> String {
    let letters: BTreeSet<char> = info(path).chars().chain(['S']).collect();
    letters.into_iter().collect()
}

trait Names {
    fn read_dir_names(&self, dir: &Path) -> Option<()>;
}

impl Names for kit::memfs::MemFs {
    /// None where there is no such directory.
    fn read_dir_names(&self, dir: &Path) -> Option<()> {
        self.tree().get(dir).filter(|body| body.is_none()).map(|_| ())
    }
}

/// The moment of an action: both sides, and what mailtide is busy with.
pub(super) struct Scene<'a> {
    pub(super) sides: &'a mut Sides,
    pub(super) book: &'a mut Book,
    /// The mailbox.
    mailbox: String,
    /// The file.
    file: Option<PathBuf>,
    /// The text of the message.
    text: Option<Vec<u8>>,
    /// Its UID.
    uid: Option<u32>,
    /// Turns through the messages where nothing is pointed at.
    turn: usize,
}

impl<'a> Scene<'a> {
    /// What a moment points at; `selected` is the mailbox that the session has selected.
    pub(super) fn new(
        sides: &'a mut Sides,
        book: &'a mut Book,
        moment: &Moment,
        selected: &str,
        turn: u64,
    ) -> Self {
        let turn = usize::try_from(turn).expect("few points");
        let mut scene = Self {
            sides,
            book,
            mailbox: selected.to_owned(),
            file: None,
            text: None,
            uid: None,
            turn,
        };
        match moment {
            Moment::Call(_, path) => scene.point_at(path),
            Moment::Command(line) | Moment::Answer(line) => scene.point_by(line),
        }
        scene
    }

    fn point_at(&mut self, path: &Path) {
        let below: Vec<String> = path
            .strip_prefix(ROOT)
            .map(|below| below.iter().map(|part| part.to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        if let Some(first) = below.first().filter(|first| !first.starts_with('.')) {
            self.mailbox.clone_from(first);
        }
        self.text = self.sides.fs.read_file(path);
        let is_message = below.get(1).is_some_and(|sub| sub == "cur" || sub == "new");
        self.file = Some(path.to_owned()).filter(|_| is_message && self.text.is_some());
    }

    fn point_by(&mut self, line: &str) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["UID", _, set, ..] => {
                let digits = set.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                self.uid = digits.parse().ok();
                let message = self.uid.and_then(|uid| self.sides.server.get(&self.mailbox, uid));
                self.text = message.map(|message| message.body.to_vec());
            }
            [_, name, ..] => {
                let name = name.trim_matches('"');
                if self.sides.server.mailboxes().iter().any(|known| known == name) {
                    self.mailbox = name.to_owned();
                }
            }
            _ => {}
        }
    }

    /// Acts on a side, and tells it.
    fn side(&mut self, side: usize, act: impl FnOnce(&mut Self) -> Option<()>) -> Option<Undo> {
        let look = |sides: &Sides| if side == HERE { sides.local() } else { sides.remote() };
        let before = look(self.sides);
        let done = act(self);
        self.sides.fs.settle();
        let after = look(self.sides);
        self.book.saw(side, &before, &after);
        done.map(|()| nothing as Undo)
    }

    /// Acts on a file.
    fn here(&mut self, act: impl FnOnce(&mut Self, &Path) -> Option<()>) -> Option<Undo> {
        let file = self.some_file()?;
        self.side(HERE, |scene| act(scene, &file))
    }

    /// Acts on a message of the server.
    fn there(&mut self, act: impl FnOnce(&mut Self, &str, &Msg) -> Option<()>) -> Option<Undo> {
        let (mailbox, message) = self.some_message()?;
        self.side(THERE, |scene| act(scene, &mailbox, &message))
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let is_message = |path: &Path| {
            let parts: Vec<_> = path.strip_prefix(ROOT).ok()?.iter().collect();
            (parts.len() == 3 && (parts[1] == "cur" || parts[1] == "new")).then_some(())
        };
        let tree = self.sides.fs.tree();
        tree.into_iter()
            .filter(|(path, _)| is_message(path).is_some())
            .filter_map(|(path, text)| Some((path, text?)))
            .collect()
    }

    fn some_file(&mut self) -> Option<PathBuf> {
        let files = self.files();
        let alike = |text: &Vec<u8>| self.text.as_ref().is_some_and(|t| same(t, text));
        let found = files
            .iter()
            .find(|(path, _)| Some(path) == self.file.as_ref())
            .or_else(|| files.iter().find(|(_, text)| alike(text)));
        let found = found.map(|(path, _)| path.clone()).or_else(|| {
            let in_mailbox = |path: &PathBuf| path.starts_with(at(&self.mailbox));
            let mut paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
            if paths.iter().any(in_mailbox) {
                paths.retain(in_mailbox);
            }
            paths.get(self.turn % paths.len().max(1)).cloned()
        })?;
        self.mailbox = name(found.parent()?.parent()?);
        Some(found)
    }

    fn some_message(&self) -> Option<(String, Msg)> {
        let server = &self.sides.server;
        if let Some(message) = self.uid.and_then(|uid| server.get(&self.mailbox, uid)) {
            return Some((self.mailbox.clone(), message));
        }
        let all = server.everything().into_iter();
        let mut all: Vec<(String, Msg)> =
            all.flat_map(|(name, all)| all.into_iter().map(move |m| (name.clone(), m))).collect();
        let alike = |m: &Msg| self.text.as_ref().is_some_and(|text| same(text, &m.body));
        if let Some(found) = all.iter().find(|(_, message)| alike(message)) {
            return Some(found.clone());
        }
        if all.iter().any(|(name, _)| *name == self.mailbox) {
            all.retain(|(name, _)| *name == self.mailbox);
        }
        all.get(self.turn % all.len().max(1)).cloned()
    }

    /// A mailbox here that may be moved as a whole.
    fn dir(&self) -> Option<String> {
        let name = if self.mailbox == "INBOX" { "Work" } else { &self.mailbox };
        self.sides.fs.read_dir_names(&at(name).join("cur")).map(|()| name.to_owned())
    }

    fn other_here(&self) -> Option<String> {
        let name = if self.mailbox == "Work" { "INBOX" } else { "Work" };
        self.sides.fs.read_dir_names(&at(name).join("cur")).map(|()| name.to_owned())
    }

    /// A mailbox of the server that may be renamed and deleted.
    fn named_there(&self) -> Option<String> {
        let name = if self.mailbox == "INBOX" { "Work" } else { &self.mailbox };
        let all = self.sides.server.mailboxes();
        all.into_iter().find(|known| known == name)
    }

    fn there_or_inbox(&self) -> String {
        let all = self.sides.server.mailboxes();
        all.into_iter().find(|m| *m == self.mailbox).unwrap_or_else(|| "INBOX".to_owned())
    }

    fn other_there(&self, from: &str) -> Option<String> {
        let name = if from == "Work" { "INBOX" } else { "Work" };
        self.sides.server.mailboxes().into_iter().find(|known| known == name)
    }

    fn rename(&mut self, file: &Path, mailbox: &str, stem: &str, info: &str) -> Option<()> {
        self.sides.fs.read_dir_names(&at(mailbox).join("cur"))?;
        let to = at(mailbox).join("cur").join(format!("{stem}:2,{info}"));
        self.sides.fs.move_file(file, to);
        Some(())
    }

    fn write(&mut self, mailbox: &str, name: &str, text: &[u8]) {
        if self.sides.fs.read_dir_names(&at(mailbox).join("cur")).is_some() {
            self.sides.fs.write_file(at(mailbox).join("cur").join(name), text);
        }
    }
}

/// Whether two texts are one message.
fn same(one: &[u8], other: &[u8]) -> bool {
    kit::compare::content(one) == kit::compare::content(other)
}

/// The mailbox that a command selects.
pub(super) fn selects(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|verb| *verb == "SELECT" || *verb == "EXAMINE")?;
    words.next().map(|name| name.trim_matches('"').to_owned())
}

/// Both sides.
pub(super) fn look(sides: &Sides) -> (Mail, Mail) {
    (sides.local(), sides.remote())
}
