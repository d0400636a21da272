"""Virtual machines under QEMU, with firmware, vTPM and guest agent."""
