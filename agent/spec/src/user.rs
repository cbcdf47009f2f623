//! Which user a container runs as: `user[:group]` of the image, by number or by the image's own `passwd` and `group`.

use gannet_protocols_model::Container;

use crate::env::SpecError;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_lines(text: &str) -> impl Iterator<Item = PasswdLine<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or("/");
        Some(PasswdLine { name, uid, gid, home })
    })
}

/// `(name, gid, members)`
fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((name, fields.nth(1)?.parse().ok()?, fields.next().unwrap_or("")))
    })
}

/// Resolves the user. `image_user` is the image's; `passwd` and `group` are the image's files, empty where it has none.
pub(crate) fn resolve(
    container: &Container,
    fs_group: Option<u32>,
    image_user: &str,
    passwd: &str,
    group: &str,
) -> Result<ResolvedUser, SpecError> {
    let security = &container.security;
    let (user, image_group) = match image_user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (image_user, None),
    };
    let by_uid = |uid: u32| passwd_lines(passwd).find(|line| line.uid == uid);
    let (uid, line) = match (security.run_as_user, user.parse::<u32>()) {
        (Some(uid), _) | (None, Ok(uid)) => (uid, by_uid(uid)),
        (None, Err(_)) if user.is_empty() => (0, by_uid(0)),
        (None, Err(_)) => {
            let missing = || SpecError::User { user: user.to_owned() };
            let line = passwd_lines(passwd).find(|line| line.name == user).ok_or_else(missing)?;
            (line.uid, Some(line))
        }
    };
    let gid = match (security.run_as_group, image_group.filter(|_| security.run_as_user.is_none())) {
        (Some(gid), _) => gid,
        (None, Some(name)) => match name.parse() {
            Ok(gid) => gid,
            Err(_) => {
                let missing = || SpecError::Group { group: name.to_owned() };
                group_lines(group).find(|(n, ..)| *n == name).ok_or_else(missing)?.1
            }
        },
        (None, None) => line.as_ref().map_or(0, |l| l.gid),
    };
    let own_name = line.as_ref().map(|l| l.name);
    let memberships = group_lines(group)
        .filter(|(_, _, members)| own_name.is_some_and(|name| members.split(',').any(|m| m == name)))
        .filter(|_| !security.strict_groups)
        .map(|(_, gid, _)| gid);
    let mut groups: Vec<u32> =
        memberships.chain(security.supplemental_groups.iter().copied()).chain(fs_group).collect();
    groups.sort_unstable();
    groups.dedup();
    let home = line.map_or("/", |l| if l.home.is_empty() { "/" } else { l.home }).to_owned();
    Ok(ResolvedUser { uid, gid, groups, home })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::container;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\ndialout:x:20:app,other\nstaff:x:50:\n";

    fn check(image_user: &str, security: &str, expect: &str) {
        let container = container(&format!(r#"{{"name":"c","image":"i","security":{security}}}"#));
        let got = match resolve(&container, Some(7), image_user, PASSWD, GROUP) {
            Ok(u) => format!("{}:{} {:?} {}", u.uid, u.gid, u.groups, u.home),
            Err(e) => e.to_string(),
        };
        assert_eq!(got, expect, "{image_user} {security}");
    }

    #[test]
    fn users() {
        check("", "{}", "0:0 [7] /root");
        check("app", "{}", "1000:1001 [7, 20] /home/app");
        check("1000", "{}", "1000:1001 [7, 20] /home/app");
        check("app:staff", "{}", "1000:50 [7, 20] /home/app");
        check("5:6", "{}", "5:6 [7] /");
        check("app:staff", r#"{"run_as_user":5}"#, "5:0 [7] /");
        check("app", r#"{"run_as_group":9,"supplemental_groups":[20,3]}"#, "1000:9 [3, 7, 20] /home/app");
        check("app", r#"{"strict_groups":true,"supplemental_groups":[3]}"#, "1000:1001 [3, 7] /home/app");
        check("ghost", "{}", "unable to find user ghost: no matching entries in passwd file");
        check("app:ghosts", "{}", "unable to find group ghosts: no matching entries in group file");
    }
}
