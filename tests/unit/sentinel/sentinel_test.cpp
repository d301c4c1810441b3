// SPDX-License-Identifier: MIT
//
// What the sentinel learns, logs and trips on.
#include "sentinel/sentinel.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>

namespace llmk {
namespace {

struct Watch {
    Watch() : zones(platform), records(64), sentinel(platform, zones, log) { log.attach(records); }

    Trip decode(uint64_t cycles, uint64_t tokens = 1)
    {
        notice.clear();
        return sentinel.account(Phase::decode, cycles, tokens, notice);
    }
    uint64_t budget() const { return sentinel.budget(Phase::decode).cycles_per_token; }
    bool logged(LogCode code) const
    {
        for (size_t i = 0; i < log.count(); ++i) {
            if (log.at(i).code == code) {
                return true;
            }
        }
        return false;
    }

    FakePlatform platform;
    Zones zones;
    std::vector<LogRecord> records;
    RingLog log;
    Sentinel sentinel;
    Text<320> notice;
};

TEST(Sentinel, LearnsSixTimesTheMeasured)
{
    Watch watch;
    EXPECT_EQ(watch.budget(), 0u);
    EXPECT_FALSE(watch.decode(4000, 4).tripped());
    EXPECT_EQ(watch.budget(), 6000u);
    EXPECT_FALSE(watch.decode(1500).tripped());
    EXPECT_EQ(watch.budget(), 9000u) << "the slowest of the first runs counts";
    EXPECT_FALSE(watch.decode(500).tripped());
    EXPECT_EQ(watch.budget(), 9000u);
    EXPECT_EQ(watch.sentinel.budget(Phase::prefill).cycles_per_token, 0u) << "each phase its own";
    EXPECT_EQ(watch.notice.size(), 0u) << "it speaks only when overrun";
    EXPECT_FALSE(watch.logged(LogCode::budget));
    EXPECT_FALSE(watch.decode(1'000'000, 0).tripped()) << "no tokens, nothing measured";
    EXPECT_EQ(watch.budget(), 9000u);
}

TEST(Sentinel, LaterRunsMoveTheBudgetSlowly)
{
    Watch watch;
    for (int i = 0; i < 4; ++i) {
        (void)watch.decode(8000);
    }
    EXPECT_EQ(watch.budget(), 48'000u);
    uint64_t last = watch.budget();
    for (int i = 0; i < 200; ++i) {
        EXPECT_FALSE(watch.decode(800).tripped());
        EXPECT_LE(watch.budget(), last);
        EXPECT_GE(watch.budget(), last - last / 8);
        last = watch.budget();
    }
    EXPECT_NEAR(static_cast<double>(last), 4800.0, 120.0);
}

TEST(Sentinel, SoftOverrunIsLoggedAndRaises)
{
    Watch watch;
    (void)watch.decode(1000);
    watch.sentinel.set_strict(true);
    EXPECT_FALSE(watch.decode(17'999).tripped()) << "under 3 x 6000 is soft";
    EXPECT_EQ(watch.budget(), 17'999u);
    EXPECT_NE(watch.notice.view().find("[budget] decode"), std::string_view::npos);
    EXPECT_NE(watch.notice.view().find("soft"), std::string_view::npos);
    EXPECT_TRUE(watch.logged(LogCode::budget));
    EXPECT_EQ(watch.sentinel.budget(Phase::decode).soft, 1u);
    EXPECT_EQ(watch.sentinel.budget(Phase::decode).hard, 0u);
    EXPECT_EQ(watch.sentinel.trips(), 0u);
}

TEST(Sentinel, ChangedWeightsTripWithoutStrict)
{
    Watch watch;
    const Trip trip = watch.sentinel.weights_changed("blk.3.attn_q.weight", 0x1000);
    EXPECT_EQ(trip.reason, TripReason::checksum);
    EXPECT_EQ(trip_reason_name(trip.reason), "checksum");
    EXPECT_EQ(trip.what.view(), "blk.3.attn_q.weight: its checksum is no longer that of the load");
    EXPECT_EQ(watch.sentinel.trips(), 1u);
    ASSERT_TRUE(watch.logged(LogCode::trip));
    const LogRecord& record = watch.log.at(watch.log.count() - 1);
    EXPECT_EQ(record.pointer, 0x1000u);
    EXPECT_EQ(record.arena, static_cast<uint8_t>(ZoneId::weights));
    EXPECT_EQ(trip_reason_name(TripReason::injected), "injected");
}

TEST(Sentinel, HardOverrunTripsOnlyWhenStrict)
{
    Watch watch;
    (void)watch.decode(1000);
    EXPECT_FALSE(watch.decode(18'000).tripped());
    EXPECT_EQ(watch.sentinel.budget(Phase::decode).hard, 1u);
    EXPECT_TRUE(watch.logged(LogCode::budget));
    EXPECT_FALSE(watch.logged(LogCode::trip));
    EXPECT_EQ(watch.budget(), 18'000u);

    watch.sentinel.set_strict(true);
    const Trip trip = watch.decode(54'000);
    EXPECT_EQ(trip.reason, TripReason::budget);
    EXPECT_EQ(trip.phase, Phase::decode);
    EXPECT_NE(trip.what.view().find("54000"), std::string_view::npos);
    EXPECT_TRUE(watch.logged(LogCode::trip));
    EXPECT_EQ(watch.sentinel.trips(), 1u);
    EXPECT_EQ(watch.budget(), 18'000u) << "a trip is no reason to be more patient";
}

TEST(Sentinel, FixedBudgetsDoNotMove)
{
    Watch watch;
    watch.sentinel.set_budget(Phase::decode, 100);
    EXPECT_TRUE(watch.sentinel.budget(Phase::decode).fixed);
    (void)watch.decode(10);
    (void)watch.decode(250);
    (void)watch.decode(5000);
    EXPECT_EQ(watch.budget(), 100u);
    EXPECT_EQ(watch.sentinel.budget(Phase::decode).soft, 1u);
    EXPECT_EQ(watch.sentinel.budget(Phase::decode).hard, 1u);
    watch.sentinel.reset_budgets();
    EXPECT_EQ(watch.budget(), 100u) << "what a person set stays";
    watch.sentinel.set_budget(Phase::decode, 0);
    (void)watch.decode(10);
    EXPECT_EQ(watch.budget(), 60u) << "learned anew";
    watch.sentinel.reset_budgets();
    EXPECT_EQ(watch.budget(), 0u);
}

TEST(Sentinel, NotFiniteTripsAndNamesThePlace)
{
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
        for (const size_t place : {size_t{0}, size_t{17}, size_t{99}}) {
            Watch watch;
            std::vector<float> logits(100, 1.0f);
            EXPECT_FALSE(watch.sentinel.check_finite(Phase::prefill, logits).tripped());
            logits[place] = bad;
            const Trip trip = watch.sentinel.check_finite(Phase::prefill, logits);
            EXPECT_EQ(trip.reason, TripReason::not_finite);
            EXPECT_EQ(trip.phase, Phase::prefill);
            EXPECT_NE(trip.what.view().find("token " + std::to_string(place) + " is"), std::string_view::npos)
                << trip.what.view();
            EXPECT_EQ(watch.sentinel.trips(), 1u);
        }
    }
    for (size_t size = 1; size <= 11; ++size) { // logits are looked at four at a time, the last ones one by one
        for (size_t place = 0; place < size; ++place) {
            Watch watch;
            std::vector<float> logits(size, -FLT_MAX);
            EXPECT_FALSE(watch.sentinel.check_finite(Phase::decode, logits).tripped());
            logits[place] = place % 2 == 0 ? -NAN : -INFINITY;
            EXPECT_NE(watch.sentinel.check_finite(Phase::decode, logits)
                          .what.view()
                          .find("token " + std::to_string(place) + " is"),
                      std::string_view::npos);
        }
    }
    Watch watch;
    const float extremes[] = {FLT_MAX, -FLT_MAX, 0.0f, -0.0f, 1e-45f};
    EXPECT_FALSE(watch.sentinel.check_finite(Phase::decode, extremes).tripped());
}

TEST(Sentinel, BrokenGuardTrips)
{
    Watch watch;
    Arena& arena = watch.zones[ZoneId::scratch];
    ASSERT_TRUE(arena.add_extent(watch.platform, 4096).ok());
    EXPECT_FALSE(watch.sentinel.check_guards(Phase::decode).tripped());
    uint8_t* victim = arena.extents()[0].base + Arena::kFrontBytes - 1;
    *victim = 0;
    const Trip trip = watch.sentinel.check_guards(Phase::decode);
    EXPECT_EQ(trip.reason, TripReason::guard);
    EXPECT_NE(trip.what.view().find("SCRATCH"), std::string_view::npos);
    const LogRecord& record = watch.log.at(watch.log.count() - 1);
    EXPECT_EQ(record.arena, static_cast<uint8_t>(ZoneId::scratch));
    EXPECT_EQ(record.pointer, reinterpret_cast<uintptr_t>(victim));
}

TEST(Sentinel, InjectionTripsOnce)
{
    Watch watch;
    watch.sentinel.inject(Phase::decode);
    EXPECT_FALSE(watch.sentinel.account(Phase::prefill, 10, 1, watch.notice).tripped()) << "the other phase";
    EXPECT_EQ(watch.decode(10).reason, TripReason::injected);
    EXPECT_FALSE(watch.decode(10).tripped());
}

TEST(Sentinel, FailedAllocationIsATrip)
{
    Watch watch;
    const Trip trip = watch.sentinel.allocation_failed(Phase::decode, fail(Status::out_of_memory, "KV: full"));
    EXPECT_EQ(trip.reason, TripReason::allocation);
    EXPECT_EQ(trip.what.view(), "decode: KV: full");
    for (int i = 0; i <= static_cast<int>(TripReason::injected); ++i) {
        EXPECT_FALSE(trip_reason_name(static_cast<TripReason>(i)).empty());
    }
}

} // namespace
} // namespace llmk
