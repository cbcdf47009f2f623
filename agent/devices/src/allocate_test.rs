use gannet_agent_spec::DeviceKind;

use super::*;

fn unit(id: &str, minor: i64) -> Unit {
    let number = Number { kind: DeviceKind::Char, major: 188, minor };
    Unit { id: id.into(), aliases: Vec::new(), nodes: vec![Node { path: id.into(), number }] }
}

fn class(name: &str, share: u32) -> DeviceClass {
    DeviceClass::new(name, &["/dev/x*".to_owned()]).unwrap().share(share).unwrap()
}

struct World {
    classes: Vec<DeviceClass>,
    inventory: Inventory,
    grants: Grants,
}

impl World {
    fn new(classes: Vec<DeviceClass>, units: &[(&str, &[Unit])]) -> Self {
        let inventory = units.iter().map(|(name, units)| ((*name).to_owned(), units.to_vec())).collect();
        Self { classes, inventory, grants: Grants::new() }
    }

    /// Units that the container gets, or how many there were.
    fn ask(&mut self, who: &str, wants: &[(&str, u32)], ended: &[&str]) -> Result<Vec<String>, u32> {
        let (pod, container) = who.split_once('/').unwrap();
        let pod: PodUid = pod.parse().unwrap();
        let wants = wants.iter().map(|(name, n)| (format!("{PREFIX}{name}"), *n)).collect();
        let ended: Vec<String> = ended.iter().map(|e| (*e).to_owned()).collect();
        let request = Request { pod: &pod, container, wants: &wants, ended: &ended };
        let given =
            allocate(&self.classes, &self.inventory, &self.grants, &request).map_err(|s| s.available)?;
        let units = given.iter().map(|g| g.unit.clone()).collect();
        self.grants.entry(pod).or_default().insert(container.into(), given);
        Ok(units)
    }
}

fn ok(units: &[&str]) -> Result<Vec<String>, u32> {
    Ok(units.iter().map(|u| (*u).to_owned()).collect())
}

#[test]
fn a_unit_belongs_to_one_pod() {
    let units = [unit("a", 0), unit("b", 1), unit("c", 2)];
    let mut world = World::new(vec![class("modbus", 1)], &[("modbus", &units)]);
    assert_eq!(world.ask("p/main", &[("modbus", 1)], &[]), ok(&["a"]));
    assert_eq!(world.ask("q/main", &[("modbus", 2)], &[]), ok(&["b", "c"]));
    assert_eq!(world.ask("r/main", &[("modbus", 1)], &[]), Err(0));
    assert_eq!(world.ask("p/main", &[("modbus", 1)], &[]), ok(&["a"]), "again the same");
    assert_eq!(world.ask("p/side", &[("modbus", 1)], &[]), Err(0), "another container of the pod");
    assert_eq!(world.ask("r/main", &[("modbus", 0)], &[]), ok(&[]));
    assert_eq!(world.ask("r/main", &[("other", 1)], &[]), Err(0));
    world.grants.remove(&"p".parse::<PodUid>().unwrap());
    assert_eq!(world.ask("r/main", &[("modbus", 2)], &[]), Err(1));
    assert_eq!(world.ask("r/main", &[("modbus", 1)], &[]), ok(&["a"]));
}

#[test]
fn init_containers_hand_on() {
    let mut world = World::new(vec![class("m", 1)], &[("m", &[unit("a", 0), unit("b", 1)])]);
    assert_eq!(world.ask("p/init", &[("m", 1)], &[]), ok(&["a"]));
    assert_eq!(world.ask("q/main", &[("m", 1)], &[]), ok(&["b"]));
    assert_eq!(world.ask("p/main", &[("m", 1)], &[]), Err(0));
    assert_eq!(world.ask("p/main", &[("m", 1)], &["init"]), ok(&["a"]));
}

#[test]
fn shared_units_are_counted() {
    let mut world = World::new(vec![class("cam", 2)], &[("cam", &[unit("a", 0)])]);
    assert_eq!(world.ask("p/main", &[("cam", 1)], &[]), ok(&["a"]));
    assert_eq!(world.ask("q/main", &[("cam", 2)], &[]), Err(1), "two units are two devices");
    assert_eq!(world.ask("q/main", &[("cam", 1)], &[]), ok(&["a"]));
    assert_eq!(world.ask("r/main", &[("cam", 1)], &[]), Err(0));
    assert_eq!(world.ask("q/main", &[("cam", 1)], &[]), ok(&["a"]));
}

#[test]
fn one_device_by_two_classes() {
    let units: &[Unit] = &[unit("by-id", 7)];
    let other: &[Unit] = &[unit("plain", 7), unit("free", 8)];
    let classes = vec![class("one", 1), class("two", 5)];
    let mut world = World::new(classes, &[("one", units), ("two", other)]);
    assert_eq!(world.ask("p/main", &[("two", 1)], &[]), ok(&["plain"]));
    assert_eq!(world.ask("q/main", &[("one", 1)], &[]), Err(0), "shared by others is not exclusive");
    world.grants.clear();
    assert_eq!(world.ask("q/main", &[("one", 1)], &[]), ok(&["by-id"]));
    assert_eq!(world.ask("p/main", &[("two", 1)], &[]), ok(&["free"]));
}

#[test]
fn a_class_that_is_gone_does_not_free_what_runs() {
    let units: &[Unit] = &[unit("a", 0), unit("b", 1)];
    let mut world = World::new(vec![class("old", 1), class("new", 1)], &[("old", units), ("new", units)]);
    assert_eq!(world.ask("p/main", &[("old", 1)], &[]), ok(&["a"]));
    world.classes.remove(0);
    world.inventory.remove("old");
    assert_eq!(world.ask("q/main", &[("new", 2)], &[]), Err(1));
    assert_eq!(world.ask("q/main", &[("new", 1)], &[]), ok(&["b"]));
}

#[test]
fn what_is_gone_is_replaced_and_stays_reserved() {
    let mut world = World::new(vec![class("m", 1)], &[("m", &[unit("a", 0), unit("b", 1)])]);
    assert_eq!(world.ask("p/main", &[("m", 1)], &[]), ok(&["a"]));
    // Another device has its number now: it is free all the same.
    world.inventory.insert("m".into(), vec![unit("b", 0)]);
    assert_eq!(world.ask("q/main", &[("m", 1)], &[]), ok(&["b"]));
    assert_eq!(world.ask("p/main", &[("m", 1)], &[]), Err(0));
    world.inventory.insert("m".into(), vec![unit("a", 1), unit("b", 0)]);
    assert_eq!(world.ask("r/main", &[("m", 1)], &[]), Err(0), "it came back to its pod");
    assert_eq!(world.ask("p/main", &[("m", 1)], &[]), ok(&["a"]));
    // Before udev knew its lasting name.
    let mut known = unit("by-id/a", 1);
    known.aliases = vec!["a".into()];
    world.inventory.insert("m".into(), vec![known, unit("b", 0)]);
    assert_eq!(world.ask("p/main", &[("m", 1)], &[]), ok(&["by-id/a"]));
}

#[test]
fn places_in_the_container() {
    let check_at = |folder: &str, path: Option<&str>, expect: &[&str]| {
        let mut class = class("m", 1);
        if let Some(path) = path {
            class = class.container_path(path).unwrap();
        }
        let mut place = 0;
        let units = [unit(&format!("{folder}/ttyUSB3"), 0), unit(&format!("{folder}/ttyUSB5"), 1)];
        let nodes = units.iter().flat_map(|u| nodes(&class, u, &mut place)).collect::<Vec<_>>();
        let paths: Vec<_> = nodes.iter().map(|n| n.path_in_container.to_str().unwrap()).collect();
        assert_eq!(paths, expect, "{path:?}");
        assert!(nodes.iter().all(|n| n.access == "rw" && n.major == 188));
    };
    let check = |path, expect: &[&str]| check_at("/dev", path, expect);
    check_at("/srv/ports", None, &["/dev/ttyUSB3", "/dev/ttyUSB5"]);
    check(None, &["/dev/ttyUSB3", "/dev/ttyUSB5"]);
    check(Some("/dev/modbus"), &["/dev/modbus", "/dev/modbus1"]);
    check(Some("/dev/serial/"), &["/dev/serial/ttyUSB3", "/dev/serial/ttyUSB5"]);
}
