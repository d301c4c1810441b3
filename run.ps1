# SPDX-License-Identifier: MIT
<#
.SYNOPSIS
Builds the image if there is none yet (build.ps1), then boots it in QEMU (run-qemu.ps1).

.EXAMPLE
./run.ps1 -Gui
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

if (-not $PSBoundParameters.ContainsKey('ImagePath') -and -not (Test-Path $ImagePath)) {
    & (Join-Path $PSScriptRoot 'build.ps1') image
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}
[void] $PSBoundParameters.Remove('More')
& (Join-Path $PSScriptRoot 'run-qemu.ps1') @PSBoundParameters @More
exit $LASTEXITCODE
