# SPDX-License-Identifier: MIT
<#
.SYNOPSIS
Boots an image in QEMU. A shim over scripts/run_qemu.py; docs/QEMU_GUIDE.md explains every option.

.EXAMPLE
./run-qemu.ps1 -Gui -MemMB 4096 -ImagePath build/llmk.img --smp 4

What is not one of the parameters below goes to scripts/run_qemu.py as it is.
#>
[CmdletBinding(PositionalBinding = $false)]
param(
    [ValidateSet('auto', 'kvm', 'hvf', 'whpx', 'tcg')] [string] $Accel = 'auto',
    [string] $Cpu = 'auto',
    [switch] $ForceAvx2,
    [ValidateSet('q35', 'pc')] [string] $Machine = 'q35',
    [int] $MemMB = 0,
    [switch] $Gui,
    [string] $QemuPath = '',
    [string] $OvmfPath = '',
    [string] $ImagePath = (Join-Path (Join-Path $PSScriptRoot 'build') 'llmk.img'),
    [Parameter(ValueFromRemainingArguments = $true)] [string[]] $More = @()
)

$isNew = 'import sys; sys.exit(sys.version_info < (3, 10))'
$venv = Join-Path $PSScriptRoot '.venv'
$candidates = @(
    , @((Join-Path (Join-Path $venv 'Scripts') 'python.exe'))
    , @((Join-Path (Join-Path $venv 'bin') 'python'))
    , @('py', '-3')
    , @('python3')
    , @('python')
)
$python = $null
foreach ($candidate in $candidates) {
    if (-not (Get-Command $candidate[0] -ErrorAction SilentlyContinue)) { continue }
    # Windows has a `python` that only opens its shop: it is asked to run something.
    $leading = @($candidate | Select-Object -Skip 1)
    & $candidate[0] @leading -c $isNew 2>$null
    if ($LASTEXITCODE -eq 0) { $python = $candidate; break }
}
if ($null -eq $python) {
    [Console]::Error.WriteLine('Python 3.10 or newer was not found: winget install Python.Python.3.13')
    exit 2
}

$arguments = @($python | Select-Object -Skip 1)
$arguments += Join-Path (Join-Path $PSScriptRoot 'scripts') 'run_qemu.py'
$arguments += @('--image', $ImagePath, '--accel', $Accel, '--cpu', $Cpu, '--machine', $Machine)
if ($ForceAvx2) { $arguments += '--force-avx2' }
if ($MemMB -gt 0) { $arguments += @('--mem', "$MemMB") }
if ($Gui) { $arguments += '--gui' }
if ($QemuPath) { $arguments += @('--qemu', $QemuPath) }
if ($OvmfPath) { $arguments += @('--ovmf', $OvmfPath) }
$arguments += $More

& $python[0] @arguments
exit $LASTEXITCODE
