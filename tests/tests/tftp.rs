//! An image that U-Boot loads from a TFTP server, by what docs/tftp.md says.

#![forbid(unsafe_code)]

use landfall_tests::http::info;
use landfall_tests::{Lab, Prompt, free_port};

#[test]
fn u_boot_loads_the_game_by_tftp() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    // Of the cards, the one whose U-Boot finds QEMU's Ethernet: it has the PHY that is on the chip.
    let card = folder.path().join("sd.img");
    lab.card("nanopi-neo", &card, &[]);
    let served = folder.path().join("served");
    std::fs::create_dir(&served).expect("the folder is ours");
    let image = lab.image("2048", "sunxi");
    std::fs::copy(image, served.join("2048.zimage")).expect("the image is built");
    let port = free_port();
    let drive = format!("file={},format=raw,if=sd", card.display());
    let forward = format!("hostfwd=tcp:127.0.0.1:{port}-:80");
    let nic = format!("user,tftp={},{forward}", served.display());
    let words = ["-M", "orangepi-pc", "-drive", &drive, "-nic", &nic];
    let mut prompt = Prompt::start(&lab, &folder, &words);
    // The lines of the page.
    let page = include_str!("../../docs/tftp.md");
    let lines: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("=> "))
        .collect();
    let [load, arguments, start] = lines[..] else {
        panic!("other lines: {lines:?}")
    };
    // QEMU's own server.
    let said = prompt.run(&load.replace("192.168.1.10", "10.0.2.2"));
    assert!(said.contains("Bytes transferred = "), "{said}");
    prompt.run(arguments);
    let said = prompt.run_to(start, "listening on TCP port 80:");
    assert!(said.contains("boot: starting the app"), "{said}");
    let told = info(([127, 0, 0, 1], port).into());
    assert_eq!(told["board"], "sunxi", "{told}");
}
