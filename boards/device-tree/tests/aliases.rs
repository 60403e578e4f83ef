//! A console that is named by an alias, properties that only some devices have, devices within devices, disabled ones.

use landfall_device_tree::DeviceTree;

/// A flattened device tree (Devicetree Specification 0.4, 5), written token by token.
#[derive(Default)]
struct Writer {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    fn word(&mut self, word: u32) -> &mut Self {
        self.structure.extend(word.to_be_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.structure.extend(bytes);
        let padded = self.structure.len().next_multiple_of(4);
        self.structure.resize(padded, 0);
        self
    }

    fn begin(&mut self, name: &str) -> &mut Self {
        self.word(1).bytes(format!("{name}\0").as_bytes())
    }

    fn property(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let at = self.strings.len() as u32;
        self.strings.extend(format!("{name}\0").as_bytes());
        self.word(3).word(value.len() as u32).word(at).bytes(value)
    }

    fn end(&mut self) -> &mut Self {
        self.word(2)
    }

    fn words(&mut self) -> Vec<u32> {
        const HEADER: u32 = 40;
        const RESERVATIONS: u32 = 16;
        self.word(9);
        self.strings
            .resize(self.strings.len().next_multiple_of(4), 0);
        let (structure, strings) = (self.structure.len() as u32, self.strings.len() as u32);
        let at = HEADER + RESERVATIONS;
        let total = at + structure + strings;
        let header = [
            0xd00d_feed,
            total,
            at,
            at + structure,
            HEADER,
            17,
            16,
            0,
            strings,
            structure,
        ];
        let mut bytes: Vec<u8> = header.into_iter().flat_map(u32::to_be_bytes).collect();
        bytes.extend([0; RESERVATIONS as usize]);
        bytes.extend(&self.structure);
        bytes.extend(&self.strings);
        let (words, _) = bytes.as_chunks::<4>();
        words.iter().map(|it| u32::from_ne_bytes(*it)).collect()
    }
}

/// As Allwinner's boards have it.
fn tree(stdout: &str) -> Vec<u32> {
    let mut writer = Writer::default();
    writer
        .begin("")
        .property("#address-cells", &[0, 0, 0, 1])
        .property("#size-cells", &[0, 0, 0, 1]);
    writer
        .begin("chosen")
        .property("stdout-path", format!("{stdout}\0").as_bytes())
        .end();
    writer
        .begin("aliases")
        .property("serial0", b"/soc/serial@1c28000\0")
        .property("odd", b"/nowhere\0")
        .end();
    writer
        .begin("soc")
        .property("#address-cells", &[0, 0, 0, 1])
        .property("#size-cells", &[0, 0, 0, 1]);
    writer
        .begin("serial@1c28000")
        .property("compatible", b"snps,dw-apb-uart\0")
        .property("reg", &[0x01, 0xc2, 0x80, 0, 0, 0, 4, 0])
        .property("clock-names", b"apb\0")
        .property("phandle", &[0, 0, 1, 2])
        .end();
    writer.end().end();
    writer.words()
}

/// LEDs as boards have them, a controller that nobody connected, and one with a device on its bus.
fn tree_of_buses() -> Vec<u32> {
    let mut writer = Writer::default();
    writer
        .begin("")
        .property("#address-cells", &[0, 0, 0, 1])
        .property("#size-cells", &[0, 0, 0, 1]);
    writer.begin("leds").property("compatible", b"gpio-leds\0");
    for (name, status) in [("led-0", "okay"), ("led-1", "disabled"), ("led-2", "ok")] {
        writer
            .begin(name)
            .property("gpios", &[0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 21, 0, 0])
            .property("status", format!("{status}\0").as_bytes())
            .end();
    }
    writer.end();
    for (name, status) in [("i2c@1000", "disabled"), ("i2c@2000", "okay")] {
        writer
            .begin(name)
            .property("compatible", b"i2c\0")
            .property(
                "reg",
                &[0, 0, (name.as_bytes()[4] - b'0') << 4, 0, 0, 0, 4, 0],
            )
            .property("status", format!("{status}\0").as_bytes())
            .property("#address-cells", &[0, 0, 0, 1])
            .property("#size-cells", &[0, 0, 0, 0]);
        writer
            .begin("pmic@34")
            .property("compatible", b"pmic\0")
            .property("reg", &[0, 0, 0, 0x34])
            .end();
        writer.end();
    }
    writer.end();
    writer.words()
}

#[test]
fn nodes_within_a_device_need_not_be_devices() {
    let words = tree_of_buses();
    let tree = DeviceTree::new(&words).unwrap();
    let (mut leds, mut chips) = (Vec::new(), Vec::new());
    tree.for_each_device(|device| {
        device.for_each_child(|child| {
            if device.is_compatible(&["gpio-leds"]) {
                leds.push((child.name, child.cells("gpios").collect::<Vec<_>>()));
            } else {
                chips.push((device.name, child.name, child.cells("reg").next()));
            }
        });
    })
    .unwrap();
    // Bytes that are no word are left out.
    let gpios = vec![9, 7, 21];
    assert_eq!(leds, [("led-0", gpios.clone()), ("led-2", gpios)]);
    assert_eq!(chips, [("i2c", "pmic", Some(0x34))]);
}

#[test]
fn disabled_devices_are_found_by_who_asks_for_them() {
    let words = tree_of_buses();
    let mut found = Vec::new();
    let tree = DeviceTree::new(&words).unwrap();
    tree.for_each_disabled_device(|device| found.push((device.name, device.registers(0))))
        .unwrap();
    assert_eq!(found, [("i2c", Some(0x1000..0x1400))]);
}

#[test]
fn a_console_may_be_named_by_an_alias() {
    for stdout in ["serial0:115200n8", "serial0", "/soc/serial@1c28000:115200"] {
        let words = tree(stdout);
        let console = DeviceTree::new(&words).unwrap().console().unwrap();
        let console = console.expect(stdout);
        assert!(console.is_compatible(&["snps,dw-apb-uart"]));
        assert_eq!(console.registers(0), Some(0x1c2_8000..0x1c2_8400));
    }
}

#[test]
fn an_alias_that_leads_nowhere_is_no_console() {
    for stdout in ["serial1:115200n8", "odd", "", ":", "/chosen"] {
        let words = tree(stdout);
        let console = DeviceTree::new(&words).unwrap().console().unwrap();
        assert!(console.is_none(), "{stdout:?}");
    }
}

#[test]
fn any_property_of_a_device_can_be_read() {
    let words = tree("serial0");
    let mut found = 0;
    let tree = DeviceTree::new(&words).unwrap();
    tree.for_each_device(|device| {
        found += 1;
        assert_eq!(device.property("clock-names"), Some(&b"apb\0"[..]));
        assert_eq!(device.property("clock"), None);
        assert_eq!(device.phandle(), Some(0x102));
        assert_eq!(device.cells("clock").count(), 0);
    })
    .unwrap();
    assert_eq!(found, 1);
}
