//! sysusers.d(5): what packages say about the accounts that they need.

use outcrop_release::arch::Architecture;

use crate::finish::error::AccountError;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `u` and `u!`.
    User {
        /// Name.
        name: String,
        /// Number, if it is fixed.
        id: Id,
        /// Primary group, if it isn't the one of the same name.
        group: Option<GroupId>,
        /// Free text.
        gecos: Option<String>,
        /// Home folder.
        home: Option<String>,
        /// Login shell.
        shell: Option<String>,
        /// `u!`: expired as well as locked.
        locked: bool,
    },
    /// `g`.
    Group {
        /// Name.
        name: String,
        /// Number, if it is fixed.
        id: Id,
    },
    /// `m`.
    Member {
        /// Who.
        user: String,
        /// Of what.
        group: String,
    },
    /// `r`: a range for automatic numbers. Numbers here don't come from ranges.
    Range,
}

/// How a line gives a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// `-`: not at all.
    Automatic,
    /// This number.
    Number(u32),
    /// The owner (or group) of this absolute path.
    OwnerOf(String),
}

/// How a user's line gives the primary group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupId {
    /// By number.
    Number(u32),
    /// By name.
    Name(String),
}

/// What specifiers stand for. Those of the running machine (its id, host name, boot, kernel) have no value in an image.
#[derive(Debug, Clone, Default)]
pub struct Specifiers {
    /// `%a`.
    pub architecture: &'static str,
    /// `%o`, `%w`, `%M`, `%A`: os-release's ID, VERSION_ID, IMAGE_ID, IMAGE_VERSION.
    pub os: [String; 4],
}

impl Specifiers {
    /// For an image of `architecture`, which systemd calls `x86-64` and `arm64`.
    #[must_use]
    pub fn new(architecture: Architecture, os: [String; 4]) -> Self {
        let architecture = match architecture {
            Architecture::X86_64 => "x86-64",
            Architecture::Aarch64 => "arm64",
        };
        Self { architecture, os }
    }

    fn expand(&self, text: &str) -> Option<String> {
        let mut result = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                result.push(c);
                continue;
            }
            let [id, version, image, image_version] = &self.os;
            match rest.next()? {
                '%' => result.push('%'),
                'a' => result.push_str(self.architecture),
                'o' => result.push_str(id),
                'w' => result.push_str(version),
                'M' => result.push_str(image),
                'A' => result.push_str(image_version),
                'T' => result.push_str("/tmp"),
                'V' => result.push_str("/var/tmp"),
                _ => return None,
            }
        }
        Some(result)
    }
}

/// Reads one file.
///
/// # Errors
/// When a line isn't one of sysusers.d(5), or has a specifier that only a running machine knows.
pub fn parse(text: &str, specifiers: &Specifiers) -> Result<Vec<Line>, AccountError> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| parse_line(line, specifiers).ok_or_else(|| AccountError::Sysusers(line.to_owned())))
        .collect()
}

fn parse_line(line: &str, specifiers: &Specifiers) -> Option<Line> {
    let fields: Vec<String> = shlex::split(line)?
        .iter()
        .map(|field| specifiers.expand(field))
        .collect::<Option<_>>()?;
    let field = |index: usize| {
        fields
            .get(index)
            .filter(|text| !text.is_empty() && *text != "-")
            .cloned()
    };
    let kind = fields.first()?.as_str();
    match kind {
        "u" | "u!" => {
            let (id, group) = user_id(field(2).as_deref())?;
            let (name, gecos, home, shell) = (field(1)?, field(3), field(4), field(5));
            legal_name(&name)?;
            Some(Line::User {
                name,
                id,
                group,
                gecos,
                home,
                shell,
                locked: kind == "u!",
            })
        }
        "g" => {
            let name = field(1)?;
            legal_name(&name)?;
            Some(Line::Group {
                name,
                id: plain_id(field(2).as_deref())?,
            })
        }
        "m" => Some(Line::Member {
            user: field(1)?,
            group: field(2)?,
        }),
        "r" => Some(Line::Range),
        _ => None,
    }
}

/// Names with a colon, a slash, white space or nothing would break the files.
fn legal_name(name: &str) -> Option<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.len() <= 32 && name.chars().all(legal) && !name.starts_with('-')).then_some(())
}

fn plain_id(text: Option<&str>) -> Option<Id> {
    match text {
        None => Some(Id::Automatic),
        Some(path) if path.starts_with('/') => Some(Id::OwnerOf(path.to_owned())),
        Some(number) => number.parse().ok().map(Id::Number),
    }
}

fn user_id(text: Option<&str>) -> Option<(Id, Option<GroupId>)> {
    let Some((uid, group)) = text.and_then(|text| text.split_once(':')) else {
        return Some((plain_id(text)?, None));
    };
    let group = group
        .parse()
        .map_or_else(|_| GroupId::Name(group.to_owned()), GroupId::Number);
    let uid = Some(uid).filter(|uid| *uid != "-");
    Some((plain_id(uid)?, Some(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Line, AccountError> {
        let specifiers = Specifiers::new(
            Architecture::X86_64,
            ["debian", "13", "edge", "1.0.0"].map(str::to_owned),
        );
        parse(line, &specifiers).map(|lines| lines[0].clone())
    }

    #[test]
    fn every_form_of_a_user_line_is_understood() {
        let user = |line: &str| match one(line).unwrap() {
            Line::User {
                id,
                group,
                gecos,
                home,
                locked,
                ..
            } => (id, group, gecos, home, locked),
            other => panic!("{other:?}"),
        };
        let nogroup = Some(GroupId::Name("nogroup".to_owned()));
        let home = Some("/run/sshd".to_owned());
        assert_eq!(
            user("u sshd -:nogroup \"sshd user\" /run/sshd"),
            (Id::Automatic, nogroup, Some("sshd user".to_owned()), home, false)
        );
        assert_eq!(user("u! a - \"%M on %a\"").2.as_deref(), Some("edge on x86-64"));
        assert_eq!(user("u _apt 42:65534 - /x").0, Id::Number(42));
        assert_eq!(user("u x /var/lib/x").0, Id::OwnerOf("/var/lib/x".to_owned()));
        assert!(user("u! a - - -").4);
    }

    #[test]
    fn groups_members_and_ranges_are_understood() {
        assert_eq!(
            one("g kvm - -"),
            Ok(Line::Group {
                name: "kvm".to_owned(),
                id: Id::Automatic
            })
        );
        let member = Line::Member {
            user: "a".to_owned(),
            group: "b".to_owned(),
        };
        assert_eq!((one("m a b"), one("r - 500-900")), (Ok(member), Ok(Line::Range)));
    }

    #[test]
    fn lines_that_would_break_the_files_or_need_a_running_machine_are_refused() {
        for line in [
            "u a:b -",
            "u ../x -",
            "z a",
            "u a many",
            "u a - \"on %H\"",
            "u a - \"open",
            "m a",
        ] {
            assert_eq!(one(line), Err(AccountError::Sysusers(line.to_owned())), "{line}");
        }
    }
}
