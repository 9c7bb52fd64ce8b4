# Outcrop: reads the boot record, chooses a slot, writes down what it is about to do, checks kernel and initramfs, starts them.
# Whatever starts with @ is put in by `outcrop build` from the code that knows the record's format (docs/formats.md).
# Inputs, from U-Boot: devtype, devnum, fdtfile, fdtcontroladdr. The numbers are hexadecimal.

setenv outcrop_slot a
setenv outcrop_start lost
setenv outcrop_copy none
setenv outcrop_valid0 0
setenv outcrop_valid1 0
setenv outcrop_newer 0
setenv outcrop_loaded none

# Loads kernel and initramfs of slot outcrop_look. outcrop_whole: whether they are what the record says of them.
setenv outcrop_check '
  setenv outcrop_whole 0
  setenv outcrop_loaded none
  if part number ${devtype} ${devnum} outcrop-boot-${outcrop_look} outcrop_part && load ${devtype} ${devnum}:${outcrop_part} @INITRAMFS initramfs && setenv outcrop_initramfs ${filesize} && load ${devtype} ${devnum}:${outcrop_part} @KERNEL kernel; then
    setenv outcrop_loaded ${outcrop_look}
    setenv outcrop_kernel ${filesize}
    if test ${outcrop_look} = b; then
      setenv outcrop_kernel_len @B_KERNEL_LEN
      setenv outcrop_kernel_sum @B_KERNEL_SUM
      setenv outcrop_initramfs_len @B_INITRAMFS_LEN
      setenv outcrop_initramfs_sum @B_INITRAMFS_SUM
    else
      setenv outcrop_kernel_len @A_KERNEL_LEN
      setenv outcrop_kernel_sum @A_KERNEL_SUM
      setenv outcrop_initramfs_len @A_INITRAMFS_LEN
      setenv outcrop_initramfs_sum @A_INITRAMFS_SUM
    fi
    if itest.l *${outcrop_kernel_len} == 0; then
      setenv outcrop_whole 1
    else
      crc32 @KERNEL ${outcrop_kernel} @SUM
      if itest.l *${outcrop_kernel_len} == ${outcrop_kernel} && itest.l *@SUM == *${outcrop_kernel_sum}; then
        crc32 @INITRAMFS ${outcrop_initramfs} @SUM
        if itest.l *${outcrop_initramfs_len} == ${outcrop_initramfs} && itest.l *@SUM == *${outcrop_initramfs_sum}; then
          setenv outcrop_whole 1
        fi
      fi
    fi
  fi
'

# Makes the other slot the default; outcrop_reason says what is wrong with the one before.
setenv outcrop_switch '
  mw.b ${outcrop_default_state} @BAD
  mw.b ${outcrop_default_reason} ${outcrop_reason}
  mw.b ${outcrop_default_attempts} 0
  mw.b ${outcrop_default_starts} 0
  mw.b ${outcrop_other_attempts} 0
  mw.b ${outcrop_other_starts} 0
  mw.b @DEFAULT ${outcrop_other_code}
  mw.b @SWITCHED 1
  setenv outcrop_slot ${outcrop_other}
'

# Counts a start of the default, at outcrop_starts. What runs sets that to zero.
setenv outcrop_count '
  setexpr.b outcrop_number *${outcrop_starts}
  if itest.l ${outcrop_number} < ff; then setexpr outcrop_number ${outcrop_number} + 1; fi
  mw.b ${outcrop_starts} ${outcrop_number}
'

# Both copies of the record. The CRC-32 over bytes and their own CRC-32 is always the same.
mw.b @COPY0 0 800
${devtype} dev ${devnum}
if part start ${devtype} ${devnum} @RECORD_LABEL outcrop_sector0; then
  setexpr outcrop_sector1 ${outcrop_sector0} + @COPY_SECTORS
  if ${devtype} read @COPY0 ${outcrop_sector0} 1; then
    crc32 @COPY0 200 @SUM
    if itest.l *@SUM == @RESIDUE && itest.l *@COPY0 == @MAGIC_LOW && itest.l *@MAGIC0 == @MAGIC_HIGH; then
      if itest.l *@VERSION0 == @VERSION; then setenv outcrop_valid0 1; else setenv outcrop_newer 1; fi
    fi
  fi
  if ${devtype} read @COPY1 ${outcrop_sector1} 1; then
    crc32 @COPY1 200 @SUM
    if itest.l *@SUM == @RESIDUE && itest.l *@COPY1 == @MAGIC_LOW && itest.l *@MAGIC1 == @MAGIC_HIGH; then
      if itest.l *@VERSION1 == @VERSION; then setenv outcrop_valid1 1; else setenv outcrop_newer 1; fi
    fi
  fi
  if test ${outcrop_valid0}${outcrop_valid1} = 10; then setenv outcrop_copy 0; fi
  if test ${outcrop_valid0}${outcrop_valid1} = 01; then setenv outcrop_copy 1; fi
  if test ${outcrop_valid0}${outcrop_valid1} = 11; then
    # The numbers wrap around: the second copy is newer when it is less than half the way ahead.
    setexpr.l outcrop_number0 *@SEQUENCE0
    setexpr.l outcrop_number1 *@SEQUENCE1
    setexpr outcrop_number ${outcrop_number1} - ${outcrop_number0}
    setexpr outcrop_number ${outcrop_number} "&" ffffffff
    setenv outcrop_copy 0
    if itest.l ${outcrop_number} != 0 && itest.l ${outcrop_number} < 80000000; then setenv outcrop_copy 1; fi
  fi
fi

if test ${outcrop_copy} = none; then
  # Nobody knows: the first slot that has a superblock, which an installation writes last, and can be loaded.
  # (Without a loop: U-Boot leaves out the first round of a loop that is run inside another one.)
  setenv outcrop_found 0
  mw.b @RECORD 0 200
  setenv outcrop_look a
  mw.b @COPY0 0 200
  if test ${outcrop_found} = 0 && part start ${devtype} ${devnum} outcrop-verity-a outcrop_sector && ${devtype} read @COPY0 ${outcrop_sector} 1 && itest.l *@COPY0 == @VERITY; then
    run outcrop_check
    if test ${outcrop_whole} = 1; then
      setenv outcrop_found 1
      setenv outcrop_slot a
    fi
  fi
  setenv outcrop_look b
  mw.b @COPY0 0 200
  if test ${outcrop_found} = 0 && part start ${devtype} ${devnum} outcrop-verity-b outcrop_sector && ${devtype} read @COPY0 ${outcrop_sector} 1 && itest.l *@COPY0 == @VERITY; then
    run outcrop_check
    if test ${outcrop_whole} = 1; then
      setenv outcrop_found 1
      setenv outcrop_slot b
    fi
  fi
else
  if test ${outcrop_copy} = 0; then
    cp.b @COPY0 @RECORD 200
    setenv outcrop_target ${outcrop_sector1}
  else
    cp.b @COPY1 @RECORD 200
    setenv outcrop_target ${outcrop_sector0}
  fi
  if itest.b *@DEFAULT == 1; then
    setenv outcrop_default b
    setenv outcrop_default_state @B_STATE
    setenv outcrop_default_reason @B_REASON
    setenv outcrop_default_attempts @B_ATTEMPTS
    setenv outcrop_default_starts @B_STARTS
    setenv outcrop_other a
    setenv outcrop_other_code 0
    setenv outcrop_other_state @A_STATE
    setenv outcrop_other_attempts @A_ATTEMPTS
    setenv outcrop_other_starts @A_STARTS
  else
    setenv outcrop_default a
    setenv outcrop_default_state @A_STATE
    setenv outcrop_default_reason @A_REASON
    setenv outcrop_default_attempts @A_ATTEMPTS
    setenv outcrop_default_starts @A_STARTS
    setenv outcrop_other b
    setenv outcrop_other_code 1
    setenv outcrop_other_state @B_STATE
    setenv outcrop_other_attempts @B_ATTEMPTS
    setenv outcrop_other_starts @B_STARTS
  fi
  setenv outcrop_start default
  setenv outcrop_slot ${outcrop_default}

  # A trial that is armed is used up, whatever becomes of it.
  if itest.b *@TRIAL_STAGE == @ARMED; then
    if itest.b *@TRIAL_SLOT == 1; then
      setenv outcrop_look b
      setenv outcrop_trial_state @B_STATE
      setenv outcrop_trial_reason @B_REASON
    else
      setenv outcrop_look a
      setenv outcrop_trial_state @A_STATE
      setenv outcrop_trial_reason @A_REASON
    fi
    run outcrop_check
    if test ${outcrop_whole} = 1; then
      setenv outcrop_start trial
      setenv outcrop_slot ${outcrop_look}
      mw.b @TRIAL_STAGE @RUNNING
      setexpr.b outcrop_number *@TRIAL_TRIES
      if itest.l ${outcrop_number} < ff; then setexpr outcrop_number ${outcrop_number} + 1; fi
      mw.b @TRIAL_TRIES ${outcrop_number}
    else
      mw.b ${outcrop_trial_state} @BAD
      mw.b ${outcrop_trial_reason} @DAMAGED
      mw.b @TRIAL_SLOT @NO_SLOT
      mw.b @TRIAL_STAGE 0
      mw.b @TRIAL_TRIES 0
    fi
  fi

  if test ${outcrop_start} != trial; then
    setenv outcrop_may_switch 0
    if itest.b *@SWITCHED == 0 && itest.b *@TRIAL_SLOT == @NO_SLOT && itest.b *${outcrop_other_state} == @GOOD; then
      setenv outcrop_may_switch 1
    fi
    setenv outcrop_starts ${outcrop_default_starts}
    setenv outcrop_failed 0
    if itest.b *${outcrop_default_attempts} >= @MAX_ATTEMPTS || itest.b *${outcrop_default_starts} >= @MAX_STARTS; then
      setenv outcrop_failed 1
    fi
    if test ${outcrop_may_switch}${outcrop_failed} = 11; then
      setenv outcrop_reason @TOO_MANY_ATTEMPTS
      run outcrop_switch
      setenv outcrop_start switched
      setenv outcrop_starts ${outcrop_other_starts}
    fi
    run outcrop_count
    setenv outcrop_look ${outcrop_slot}
    run outcrop_check
    if test ${outcrop_start}${outcrop_may_switch}${outcrop_whole} = default10; then
      setenv outcrop_reason @DAMAGED
      run outcrop_switch
      setenv outcrop_start damaged
      setenv outcrop_starts ${outcrop_other_starts}
      run outcrop_count
      setenv outcrop_look ${outcrop_slot}
      run outcrop_check
    fi
    if test ${outcrop_whole} = 0; then
      # Better what may have failed once than what can't start.
      if test ${outcrop_slot} = a; then
        setenv outcrop_look b
        setenv outcrop_other_state @B_STATE
      else
        setenv outcrop_look a
        setenv outcrop_other_state @A_STATE
      fi
      if itest.b *${outcrop_other_state} != @EMPTY; then
        run outcrop_check
        if test ${outcrop_whole} = 1; then
          setenv outcrop_slot ${outcrop_look}
          setenv outcrop_start fallback
        fi
      fi
    fi
  fi

  setexpr.l outcrop_number *@SEQUENCE
  setexpr outcrop_number ${outcrop_number} + 1
  setexpr outcrop_number ${outcrop_number} "&" ffffffff
  mw.l @SEQUENCE ${outcrop_number}
  crc32 @RECORD @CRC_OFFSET @SUM
  cp.b @SUM @CRC 4
  mw.b @BACK 0 200
  if test ${outcrop_newer} = 0 && ${devtype} write @RECORD ${outcrop_target} 1 && ${devtype} read @BACK ${outcrop_target} 1 && cmp.b @RECORD @BACK 200; then
    true
  else
    setenv outcrop_start unwritten
    setenv outcrop_slot ${outcrop_default}
  fi
fi
echo outcrop: slot ${outcrop_slot}, start ${outcrop_start}, record copy ${outcrop_copy}
