
if test ${outcrop_loaded} != ${outcrop_slot}; then
  setenv outcrop_look ${outcrop_slot}
  run outcrop_check
fi
if test ${outcrop_loaded} = ${outcrop_slot} && load ${devtype} ${devnum}:${outcrop_part} @ARGUMENTS arguments.env && env import -c @ARGUMENTS ${filesize} outcrop_arguments; then
  # What the machine's own firmware adds: `cmdline.txt` of partition 1.
  setenv outcrop_machine
  fdt addr ${fdtcontroladdr}
  fdt get value outcrop_machine /chosen bootargs
  setenv outcrop_device_tree ${fdtcontroladdr}
  if load ${devtype} ${devnum}:${outcrop_part} @DEVICE_TREE dtbs/${fdtfile}; then setenv outcrop_device_tree @DEVICE_TREE; fi
  part uuid ${devtype} ${devnum}:1 outcrop_partition
  setenv bootargs "${outcrop_machine} ${outcrop_arguments} @SLOT_OPTION=${outcrop_slot} @START_OPTION=${outcrop_start} @PARTITION_OPTION=${outcrop_partition}"
  booti @KERNEL @INITRAMFS:${outcrop_initramfs} ${outcrop_device_tree}
fi
echo outcrop: slot ${outcrop_slot} does not start; again in 10 seconds
sleep 10
reset
