use super::*;

/// Runs the few instructions that there are, as the kernel does.
fn run(program: &[[u8; 8]], kind: i32, access: i32, major: i32, minor: i32) -> bool {
    let mut registers = [0_i64; 6];
    let mut at = 0_usize;
    loop {
        let [code, both, j0, j1, c0, c1, c2, c3] = program[at];
        let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
        let jump = usize::try_from(i16::from_ne_bytes([j0, j1])).unwrap();
        let constant = i64::from(i32::from_ne_bytes([c0, c1, c2, c3]));
        at += 1;
        match code {
            0x61 => registers[to] = i64::from([access << 16 | kind, major, minor][jump / 4]),
            0x54 => registers[to] &= constant,
            0x74 => registers[to] >>= constant,
            0xbc => registers[to] = registers[from],
            0xb4 => registers[to] = constant,
            0x55 if registers[to] != constant => at += jump,
            0x5d if registers[to] != registers[from] => at += jump,
            0x15 if registers[to] == constant => at += jump,
            0x55 | 0x5d | 0x15 => {}
            0x95 => return registers[0] == 1,
            other => panic!("{other:x}"),
        }
    }
}

fn asked(text: serde_json::Value) -> Vec<LinuxDeviceCgroup> {
    serde_json::from_value(text).unwrap()
}

#[test]
fn what_is_allowed() {
    let deny = serde_json::json!({"allow": false, "type": "a", "access": "rwm"});
    let serial = serde_json::json!({"allow": true, "type": "c", "major": 188, "minor": 0, "access": "rw"});
    let disk = serde_json::json!({"allow": true, "type": "b", "major": 7, "access": "r"});
    let program = assemble(&asked(serde_json::json!([deny, serial, disk]))).unwrap();
    let table = [
        ("null", CHARACTER, READ | WRITE, 1, 3, true),
        ("a pseudo-terminal", CHARACTER, READ | WRITE, 136, 77, true),
        ("memory", CHARACTER, READ, 1, 1, false),
        ("the serial port", CHARACTER, READ | WRITE, 188, 0, true),
        ("making the serial port", CHARACTER, MKNOD, 188, 0, false),
        ("another serial port", CHARACTER, READ, 188, 1, false),
        ("reading a loop device", BLOCK, READ, 7, 5, true),
        ("writing a loop device", BLOCK, READ | WRITE, 7, 5, false),
        ("a character device with a block device's number", CHARACTER, READ, 7, 5, false),
        ("a disk", BLOCK, READ, 8, 0, false),
    ];
    for (what, kind, access, major, minor, want) in table {
        assert_eq!(run(&program, kind, access, major, minor), want, "{what}");
    }
}

#[test]
fn the_last_rule_wins() {
    let all = serde_json::json!({"allow": true, "type": "a", "access": "rwm"});
    let deny = serde_json::json!({"allow": false, "type": "a", "access": "rwm"});
    let not_sda = serde_json::json!({"allow": false, "type": "b", "major": 8, "minor": 0, "access": "w"});
    assert!(assemble(&asked(serde_json::json!([deny, all]))).is_none(), "privileged");
    assert!(assemble(&asked(serde_json::json!([all, deny]))).is_some());
    let program = assemble(&asked(serde_json::json!([deny, all, not_sda]))).unwrap();
    assert!(
        run(&program, BLOCK, READ, 8, 0)
            && !run(&program, BLOCK, READ | WRITE, 8, 0)
            && run(&program, BLOCK, WRITE, 8, 1)
    );
}
