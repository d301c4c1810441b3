# SPDX-License-Identifier: MIT
<#
.SYNOPSIS
Builds in WSL (Debian or Ubuntu), where the Makefile installs what it needs.

.EXAMPLE
./build.ps1
./build.ps1 image MODELS=chat.gguf
#>
[CmdletBinding(PositionalBinding = $false)]
param(
    # Targets and variables for make.
    [Parameter(ValueFromRemainingArguments = $true)] [string[]] $Make = @('image')
)

if (-not (Get-Command wsl.exe -ErrorAction SilentlyContinue)) {
    [Console]::Error.WriteLine('WSL was not found: wsl --install -d Debian, then sudo apt-get install make in it')
    exit 2
}
& wsl.exe --cd $PSScriptRoot --exec make @Make
exit $LASTEXITCODE
